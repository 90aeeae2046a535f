import assert from 'node:assert/strict';
import type { DurableQueue } from '../../src/backends/hub/durable-queue.js';
import type { Entry, Letter } from '../../src/backends/hub/queue-parts.js';
import { type Journal } from '../../src/backends/hub/journal.js';

/** What the hub has written, and how much of it is safe. Flushes when told, or with each write. */
export class Disk implements Journal {
  readonly queues = new Map<string, { bindings: string[]; epoch: number; checkpoint: string }>();
  readonly entries = new Map<string, Map<number, string>>();
  readonly letters = new Map<string, Set<string>>();
  written = 0;
  safe = 0;
  batch = 0;
  safeBatch = -1;
  readonly refusal = undefined;
  readonly safeEpochs = new Map<string, number>();
  #callbacks: (() => void)[] = [];

  constructor(readonly atOnce: boolean) {
    if (atOnce) this.safeBatch = 0;
  }

  putQueue({ id, bindings, epoch, checkpoint }: DurableQueue): void {
    this.queues.set(id, { bindings: [...bindings].sort(), epoch, checkpoint: String(checkpoint) });
    if (!this.entries.has(id)) this.entries.set(id, new Map());
    if (!this.letters.has(id)) this.letters.set(id, new Set());
    this.#wrote();
  }

  removeQueue({ id }: DurableQueue): void {
    for (const things of [this.queues, this.entries, this.letters]) assert.equal(things.delete(id), true);
    this.#wrote();
  }

  putCheckpoint({ id, checkpoint }: DurableQueue): void {
    this.queues.get(id)!.checkpoint = String(checkpoint);
    this.#wrote();
  }

  addEntry(queue: DurableQueue, entry: Entry): void {
    assert.equal(this.entries.get(queue.id)!.has(entry.position), false);
    this.markEntry(queue, entry);
  }

  markEntry({ id }: DurableQueue, { position, envelope, redrives, attempts, redelivered }: Entry): void {
    this.entries.get(id)!.set(position, `${envelope.id}/${redrives} ${attempts} ${redelivered}`);
    this.#wrote();
  }

  removeEntry({ id }: DurableQueue, { position }: Entry): void {
    assert.equal(this.entries.get(id)!.delete(position), true);
    this.#wrote();
  }

  putLetter({ id }: DurableQueue, letter: Letter): void {
    this.letters.get(id)!.add(letter.id);
    this.#wrote();
  }

  removeLetter({ id }: DurableQueue, letter: Letter): void {
    assert.equal(this.letters.get(id)!.delete(letter.id), true);
    this.#wrote();
  }

  afterFlush(callback: () => void): void {
    this.#callbacks.push(callback);
    if (this.atOnce) this.flush();
  }

  #wrote(): void {
    this.written++;
    if (this.atOnce) this.safe = this.written;
  }

  get isFlushed(): boolean {
    return this.#callbacks.length === 0;
  }

  flush(): void {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    this.safe = this.written;
    if (!this.atOnce) this.safeBatch = this.batch++;
    for (const [id, { epoch }] of this.queues) this.safeEpochs.set(id, epoch);
    for (const callback of callbacks) callback();
  }
}
