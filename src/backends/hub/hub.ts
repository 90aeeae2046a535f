import { isDeepStrictEqual } from 'node:util';
import type { QueueSpec, TransientSink } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import type { Envelope } from '../../model/message.js';
import {
  MasterNameTakenError,
  QueueInUseError,
  QueueNotFoundError,
  QueueSettingsError,
  SessionLostError,
} from '../../model/errors.js';
import { Routes } from '../../model/routes.js';
import { parsePattern } from '../../model/topic.js';
import { DurableQueue } from './durable-queue.js';
import type { KeptQueue } from './queue-parts.js';
import type { Journal } from './journal.js';
import { Operations, type Word } from './operations.js';

/** What the hub knows of a connected master. */
export interface Member {
  readonly master: string;
  readonly incarnation: string;
  /** Ends its session, as if the connection had broken. */
  drop(reason: Error): void;
}

/** A transient queue of a session. */
export interface Listener {
  readonly sink: TransientSink;
  readonly isOpen: boolean;
}

/**
 * The embedded broker of one namespace: topics, queues and ownership in one thread, so every decision is a plain
 * comparison and no lock is needed. Sessions drive it; the journal keeps what must survive.
 */
export class Hub {
  readonly queues = new Map<string, DurableQueue>();
  readonly members = new Map<string, Member>();
  readonly operations = new Operations();
  readonly #targets = new Routes<DurableQueue | Listener>();

  constructor(
    readonly environment: Environment,
    readonly journal: Journal,
  ) {}

  /** Hands a message to everything that matches. Returns the names of the queues that refused it because they are full. */
  publish(message: Envelope): string[] | undefined {
    // Here the hub itself refuses a former owner: receivers need no fence.
    const envelope = message.fence ? { ...message, fence: undefined } : message;
    return this.operations.run(this.#route, envelope);
  }

  /** Whether a session of this master may begin; one of the same incarnation takes the place of an earlier one. */
  admit(master: string, incarnation: string): void {
    const holder = this.members.get(master);
    if (!holder) return;
    if (holder.incarnation !== incarnation)
      throw new MasterNameTakenError(`A living master is named "${master}". Pick another name.`);
    holder.drop(new SessionLostError('The same master has connected again.'));
  }

  bind(pattern: string, target: DurableQueue | Listener): void {
    this.#targets.add(pattern, target);
  }

  unbind(pattern: string, target: DurableQueue | Listener): void {
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
    if (this.journal.refusal) throw this.journal.refusal;
    const queue = this.#create(this.environment.randomId(), spec);
    this.journal.putQueue(queue);
    return queue;
  }

  /** Brings back a queue that the journal has kept. */
  restore(kept: KeptQueue): void {
    const queue = this.#create(kept.id, kept.spec);
    queue.restore(kept);
    for (const pattern of queue.bindings) this.bind(pattern, queue);
  }

  #create(id: string, spec: QueueSpec): DurableQueue {
    const queue = new DurableQueue(id, spec, {
      journal: this.journal,
      clock: this.environment.clock,
      operations: this.operations,
      expired: () => this.operations.run(() => this.#destroy(queue)),
    });
    this.queues.set(spec.name, queue);
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
    if (queue.isInUse && !options.whileInUse)
      throw new QueueInUseError(
        `Queue "${name}" has consumers. Stop them first, or delete it with { whileInUse: true }.`,
      );
    this.operations.run(() => this.#destroy(queue));
  }

  /** Makes the queue's bindings these: a message that matches old and new ones is never missed. */
  reconcile(queue: DurableQueue, patterns: readonly string[]): void {
    const wanted = new Set(patterns.map((pattern) => parsePattern(pattern).pattern));
    const added = [...wanted].filter((pattern) => !queue.bindings.has(pattern));
    const removed = [...queue.bindings].filter((pattern) => !wanted.has(pattern));
    for (const pattern of added) {
      queue.bindings.add(pattern);
      this.bind(pattern, queue);
    }
    for (const pattern of removed) {
      queue.bindings.delete(pattern);
      this.unbind(pattern, queue);
    }
    this.operations.run(() => queue.bound({ isChanged: added.length + removed.length > 0 }));
  }

  readonly #route = (envelope: Envelope): string[] | undefined => {
    let full: string[] | undefined;
    for (const target of this.#targets.match(envelope.topic)) {
      if (!(target instanceof DurableQueue)) this.operations.say(new Hearing(target, envelope));
      else if (target.isFull) (full ??= []).push(target.spec.name);
      else target.append(envelope);
    }
    return full;
  };

  #destroy(queue: DurableQueue): void {
    this.queues.delete(queue.spec.name);
    for (const pattern of queue.bindings) this.unbind(pattern, queue);
    queue.destroy();
  }
}

/** A message on its way to one listener. */
class Hearing implements Word {
  constructor(
    readonly listener: Listener,
    readonly envelope: Envelope,
  ) {}

  say(): void {
    if (this.listener.isOpen) this.listener.sink.message(this.envelope);
  }
}

function settingsDifferences(present: QueueSpec, wanted: QueueSpec): string[] {
  const keys = ['ownership', 'limit', 'expiresMs', 'queueType'] as const;
  const show = (value: unknown) => (value === undefined ? 'none' : JSON.stringify(value));
  return keys
    .filter((key) => !isDeepStrictEqual(present[key], wanted[key]))
    .map((key) => `${key}: it has ${show(present[key])}, asked for ${show(wanted[key])}`);
}
