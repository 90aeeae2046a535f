import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { openLab, newFolder, type Lab } from './store-lab.js';

/*
 * What comes back, against a plain model: random things happen to two queues, and now and then the folder is closed, or
 * left as a killed hub leaves it, and opened again.
 */

const QUEUES = ['one', 'other'] as const;
const RUNS = 60;

interface ModelEntry {
  readonly id: string;
  readonly redrives: number;
  attempts: number;
  flagged: boolean;
}

class ModelQueue {
  entries: ModelEntry[] = [];
  letters: { id: string; redrives: number }[] = [];
  checkpoint: string | undefined;
  epoch = 0;
}

type Step =
  | { readonly do: 'publish'; readonly count: number }
  | {
      readonly do: 'take';
      readonly queue: (typeof QUEUES)[number];
      readonly count: number;
      /** Of those taken, what becomes of each. */
      readonly ends: readonly ('ack' | 'begin' | 'cut off' | 'reject' | 'give back')[];
      readonly crashes: boolean;
    }
  | { readonly do: 'redrive' | 'drop'; readonly queue: (typeof QUEUES)[number]; readonly at: number }
  | { readonly do: 'save' | 'delete'; readonly queue: (typeof QUEUES)[number] }
  | { readonly do: 'flush' | 'close' | 'kill' };

const queueName = fc.constantFrom(...QUEUES);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('publish' as const), count: fc.nat(4) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      queue: queueName,
      count: fc.integer({ min: 1, max: 4 }),
      ends: fc.array(fc.constantFrom('ack', 'begin', 'cut off', 'reject', 'give back'), { minLength: 4 }),
      crashes: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('redrive' as const, 'drop' as const),
      queue: queueName,
      at: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('save' as const, 'delete' as const), queue: queueName }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('flush' as const, 'close' as const, 'kill' as const) }),
  },
);

class World {
  readonly folder = newFolder();
  readonly queues = new Map<string, ModelQueue>();
  lab!: Lab;
  #next = 0;

  constructor(readonly residentBytesMax: number) {}

  async open(): Promise<void> {
    this.lab = await openLab(this.folder, { residentBytesMax: this.residentBytesMax });
  }

  async run(one: Step): Promise<void> {
    switch (one.do) {
      case 'publish':
        return this.#publish(one.count);
      case 'take':
        await this.lab.safe();
        return this.#take(one);
      case 'redrive':
      case 'drop':
        return this.#letters(one.do, one.queue, one.at);
      case 'save':
        return this.#save(one.queue);
      case 'delete':
        if (this.queues.delete(one.queue)) this.lab.hub.delete(one.queue, { whileInUse: true });
        return;
      case 'flush':
        return this.lab.safe();
      case 'close':
        await this.lab.store.close();
        return this.open();
      case 'kill':
        await this.lab.safe();
        for (const { entries } of this.queues.values()) for (const entry of entries) entry.flagged = true;
        return this.open();
    }
  }

  #queue(name: string): ModelQueue {
    let queue = this.queues.get(name);
    if (!queue) {
      this.queues.set(name, (queue = new ModelQueue()));
      this.lab.declare(name);
    }
    return queue;
  }

  #publish(count: number): void {
    for (const name of QUEUES) this.#queue(name);
    for (let left = count; left > 0; left--) {
      const id = `m-${this.#next++}`;
      this.lab.publish(id);
      for (const { entries } of this.queues.values())
        entries.push({ id, redrives: 0, attempts: 0, flagged: false });
    }
  }

  #take({ queue: name, count, ends, crashes }: Step & { do: 'take' }): void {
    const model = this.#queue(name);
    const taker = this.lab.taker(name, count);
    const { queue, entries } = taker;
    assert.deepEqual(
      entries.map(({ envelope }) => envelope.id),
      model.entries.slice(0, count).map(({ id }) => id),
    );
    const taken = model.entries.slice(0, entries.length);
    this.lab.hub.operations.run(() => {
      for (const [at, entry] of entries.entries()) {
        const end = ends[at % ends.length]!;
        const modelled = taken[at]!;
        if (end === 'begin' || end === 'cut off') {
          modelled.attempts++;
          queue.begin(entry, modelled.attempts);
          // As the hub has it: what was begun is flagged, cut off or not.
          modelled.flagged = true;
        }
        if (end === 'cut off') {
          modelled.attempts--;
          queue.cutOff(entry);
        }
        if (end === 'reject') {
          queue.bury(entry, { reason: 'rejected', error: 'no', attempts: 1, history: [] });
          model.letters.push({
            id: `${name}/${modelled.id}/${modelled.redrives}`,
            redrives: modelled.redrives,
          });
        }
        if (end === 'reject' || end === 'ack') {
          // No more for this taker: it would be given the next.
          (taker as { prefetch: number }).prefetch = 0;
          queue.settle(taker, entry);
          model.entries.splice(model.entries.indexOf(modelled), 1);
        } else if (crashes) modelled.flagged = true;
      }
    });
    taker.close(crashes ? 'crashed' : 'closed');
  }

  #letters(what: 'redrive' | 'drop', name: string, at: number): void {
    const model = this.#queue(name);
    const [letter] = model.letters.slice(at, at + 1);
    if (!letter) return;
    model.letters.splice(at, 1);
    const session = this.lab.session();
    if (what === 'drop') void session.dropDeadLetters(name, [letter.id]);
    else {
      void session.redrive(name, [letter.id]);
      const id = letter.id.split('/')[1]!;
      model.entries.push({ id, redrives: letter.redrives + 1, attempts: 0, flagged: true });
    }
  }

  #save(name: string): void {
    const model = this.#queue(name);
    model.checkpoint = `checkpoint ${this.#next++}`;
    this.lab.hub.queue(name).save(Buffer.from(model.checkpoint));
  }

  async check(): Promise<void> {
    await this.lab.safe();
    assert.deepEqual([...this.lab.hub.queues.keys()].sort(), [...this.queues.keys()].sort());
    for (const [name, model] of this.queues) {
      const queue = this.lab.hub.queue(name);
      const taker = this.lab.taker(name);
      const shown = taker.entries.map(({ envelope, redrives, attempts, redelivered }) => ({
        ...{ id: envelope.id, redrives, attempts, flagged: redelivered },
      }));
      taker.close();
      assert.deepEqual(shown, model.entries);
      assert.deepEqual(
        [...queue.letters.values()].map(({ id, redrives, envelope }) => [id, redrives, envelope.id]),
        model.letters.map(({ id, redrives }) => [id, redrives, id.split('/')[1]]),
      );
      assert.equal(queue.checkpoint && Buffer.from(queue.checkpoint).toString(), model.checkpoint);
    }
  }
}

describe('the store', () => {
  it('brings back what a plain model says, whatever happened before', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 30 }),
        fc.constantFrom(0, 300, 1e6),
        async (steps, residentBytesMax) => {
          const world = new World(residentBytesMax);
          await world.open();
          for (const one of steps) await world.run(one);
          await world.run({ do: 'close' });
          await world.check();
          await world.lab.store.close();
          rmSync(world.folder, { recursive: true, force: true });
        },
      ),
      { numRuns: RUNS },
    );
  });
});
