import assert from 'node:assert/strict';
import { describe, it } from 'vitest';
import { GroupCommit } from '../../src/backends/file/group-commit.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

/** A disk that flushes when the test says so. */
class Disk {
  readonly clock = new VirtualClock();
  readonly written: number[] = [];
  readonly said: string[] = [];
  failure: Error | undefined;
  more = 0;
  readonly #flushes: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly commit = new GroupCommit({
    clock: this.clock,
    hasMore: () => this.more > 0,
    write: (batch) => {
      if (batch.isEmpty) this.more--;
      this.written.push(batch.number);
      return new Promise((resolve, reject) => this.#flushes.push({ resolve, reject }));
    },
    failed: (error) => (this.failure = error),
  });

  ack(): void {
    this.commit.gathered.size++;
    this.commit.wake();
  }

  publish(name: string): void {
    this.ack();
    this.commit.afterFlush(() => this.said.push(name));
  }

  async flush(): Promise<void> {
    this.#flushes.shift()!.resolve();
    await this.turn();
  }

  async fail(error: Error): Promise<void> {
    this.#flushes.shift()!.reject(error);
    await this.turn();
  }

  /** Lets the event loop turn, and no time pass. */
  turn(): Promise<void> {
    return this.clock.advance(0);
  }
}

describe('group commit', () => {
  it('writes what came in one turn of the event loop together', async () => {
    const disk = new Disk();
    disk.publish('a');
    disk.publish('b');
    assert.deepEqual(disk.written, []);
    await disk.turn();
    assert.deepEqual([disk.written, disk.said], [[1], []]);
    await disk.flush();
    assert.deepEqual(disk.said, ['a', 'b']);
    assert.equal(disk.commit.isIdle, true);
  });

  it('has one batch on its way, and starts the next when that is safe', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    for (const name of ['b', 'c']) {
      disk.publish(name);
      await disk.turn();
    }
    assert.deepEqual(disk.written, [1]);
    await disk.flush();
    assert.deepEqual([disk.written, disk.commit.safeBatch], [[1, 2], 1]);
    await disk.flush();
    assert.deepEqual(disk.said, ['a', 'b', 'c']);
  });

  it('tells who asks while a batch is on its way, and nothing is gathered, when that is safe', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    disk.commit.afterFlush(() => disk.said.push('also'));
    await disk.flush();
    assert.deepEqual([disk.said, disk.written], [['a', 'also'], [1]]);
    disk.commit.afterFlush(() => disk.said.push('at once'));
    assert.equal(disk.said.at(-1), 'at once');
  });

  it('lets acks that nobody waits for wait for company, and not for long', async () => {
    const disk = new Disk();
    disk.ack();
    await disk.clock.advance(4);
    assert.deepEqual(disk.written, []);
    await disk.clock.advance(1);
    assert.deepEqual(disk.written, [1]);
    disk.ack();
    await disk.flush();
    await disk.clock.advance(4);
    assert.deepEqual(disk.written, [1]);
    disk.publish('a');
    await disk.turn();
    assert.deepEqual([disk.written, disk.clock.pending], [[1, 2], 0]);
    await disk.flush();
    assert.deepEqual(disk.said, ['a']);
  });

  it('does not let many acks wait', async () => {
    const disk = new Disk();
    for (let count = 0; count < 10_000; count++) disk.ack();
    await disk.turn();
    assert.deepEqual(disk.written, [1]);
  });

  it('goes on with empty batches as long as something may be done by and by', async () => {
    const disk = new Disk();
    disk.more = 2;
    disk.ack();
    for (let times = 0; times < 3; times++) {
      await disk.clock.advance(5);
      await disk.flush();
    }
    await disk.clock.advance(50);
    assert.deepEqual([disk.written, disk.commit.isIdle], [[1, 2, 3], true]);
  });

  it('fails once, confirms nothing of what was not safe, and writes nothing more', async () => {
    const disk = new Disk();
    disk.publish('a');
    await disk.turn();
    disk.publish('b');
    await disk.fail(new Error('the disk broke'));
    disk.publish('c');
    await disk.clock.advance(50);
    assert.deepEqual([disk.failure?.message, disk.said, disk.written], ['the disk broke', [], [1]]);
    assert.equal(disk.clock.pending, 0);
  });

  it('fails when a callback throws', async () => {
    const disk = new Disk();
    disk.commit.gathered.size++;
    disk.commit.afterFlush(() => {
      throw new Error('a bug');
    });
    await disk.turn();
    await disk.flush();
    assert.equal(disk.failure?.message, 'a bug');
  });
});
