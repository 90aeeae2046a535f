import { isDeepStrictEqual } from 'node:util';
import type { QueueSpec, TransientSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import type { Envelope } from '../../model/message.js';
import { QueueInUseError, QueueNotFoundError, QueueSettingsError } from '../../model/errors.js';
import { TopicIndex } from '../../model/topic-index.js';
import { DurableQueue } from './durable-queue.js';
import type { Journal } from './journal.js';

/** What the hub knows of a connected master. */
export interface Member {
  readonly master: string;
  readonly incarnation: string;
}

/**
 * The embedded broker of one namespace: topics, queues and ownership in one thread, so every decision is a plain
 * comparison and no lock is needed. Sessions drive it; the journal keeps what must survive.
 */
export class Hub {
  readonly queues = new Map<string, DurableQueue>();
  readonly members = new Map<string, Member>();
  readonly #targets = new TopicIndex<DurableQueue | TransientSink>();

  constructor(
    readonly environment: Environment,
    readonly journal: Journal,
  ) {}

  /** Hands a message to everything that matches. Returns the names of the queues that refused it because they are full. */
  publish(envelope: Envelope): string[] | undefined {
    let full: string[] | undefined;
    for (const target of this.#targets.match(envelope.topic)) {
      if (!(target instanceof DurableQueue)) target.message(envelope);
      else if (target.isFull) (full ??= []).push(target.spec.name);
      else this.append(target, envelope);
    }
    return full;
  }

  append(queue: DurableQueue, envelope: Envelope, redrives = 0): void {
    queue.append(envelope, redrives);
    this.journal.afterFlush(() => queue.dispatch());
  }

  bind(pattern: string, target: DurableQueue | TransientSink): void {
    this.#targets.add(pattern, target);
  }

  unbind(pattern: string, target: DurableQueue | TransientSink): void {
    this.#targets.remove(pattern, target);
  }

  declare(spec: QueueSpec): DurableQueue {
    const found = this.queues.get(spec.name);
    if (found) {
      const differences = settingsDifferences(found.spec, spec);
      if (differences.length === 0) return found;
      throw new QueueSettingsError(
        `Queue "${spec.name}" exists with other settings (${differences.join(', ')}). ` +
          'Delete it or pick another name.',
      );
    }
    const queue = new DurableQueue(this.environment.randomId(), spec, {
      journal: this.journal,
      clock: this.environment.clock,
      expired: () => this.#destroy(queue),
    });
    this.queues.set(spec.name, queue);
    this.journal.putQueue(queue);
    return queue;
  }

  queue(name: string): DurableQueue {
    const queue = this.queues.get(name);
    if (!queue)
      throw new QueueNotFoundError(`There is no queue "${name}". It was never declared, or it was deleted.`);
    return queue;
  }

  delete(name: string, options: { whileInUse: boolean }): void {
    const queue = this.queue(name);
    if (!options.whileInUse && (queue.takers.length > 0 || queue.owner || queue.standbys.length > 0))
      throw new QueueInUseError(
        `Queue "${name}" has consumers. Stop them first, or delete it with { whileInUse: true }.`,
      );
    this.#destroy(queue);
  }

  /** Makes the queue's bindings these: a message that matches old and new ones is never missed. */
  reconcile(queue: DurableQueue, patterns: readonly string[]): void {
    const wanted = new Set(patterns);
    for (const pattern of wanted) {
      queue.bindings.add(pattern);
      this.bind(pattern, queue);
    }
    for (const pattern of queue.bindings) {
      if (wanted.has(pattern)) continue;
      queue.bindings.delete(pattern);
      this.unbind(pattern, queue);
    }
    queue.bound();
  }

  #destroy(queue: DurableQueue): void {
    this.queues.delete(queue.spec.name);
    for (const pattern of queue.bindings) this.unbind(pattern, queue);
    queue.destroy();
  }
}

function settingsDifferences(present: QueueSpec, wanted: QueueSpec): string[] {
  const keys = ['ownership', 'limit', 'expiresMs', 'queueType'] as const;
  const show = (value: unknown) => (value === undefined ? 'none' : JSON.stringify(value));
  return keys
    .filter((key) => !isDeepStrictEqual(present[key], wanted[key]))
    .map((key) => `${key}: it has ${show(present[key])}, asked for ${show(wanted[key])}`);
}
