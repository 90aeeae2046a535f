import type { QueueSpec } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import {
  FencedError,
  QueueInUseError,
  QueueNotFoundError,
  QueueSettingsError,
  UnsupportedError,
} from '../../model/errors.js';
import type { StreamConsumers } from './consumers.js';
import type { Control } from './control.js';
import { decodeLease, encodeLease, type Lease } from './lease.js';
import type { Letters } from './letters.js';
import type { Masters } from './masters.js';
import type { Names } from './names.js';
import type { Found, Records } from './records.js';

export interface DurableQueuesPorts {
  readonly records: Records;
  readonly events: StreamConsumers;
  readonly letterConsumers: StreamConsumers;
  readonly letters: Letters;
  readonly masters: Masters;
  readonly control: Control;
  readonly names: Names;
  readonly environment: Environment;
}

/** A queue as its lease tells. */
export interface KnownLease {
  readonly lease: Lease;
  readonly at: Found;
}

/** The durable queues of a namespace: each is a lease, and what belongs to it. */
export class DurableQueues {
  readonly #ports: DurableQueuesPorts;

  constructor(ports: DurableQueuesPorts) {
    this.#ports = ports;
  }

  async declare(spec: QueueSpec): Promise<void> {
    const { name, ownership, limit, expiresMs } = spec;
    if (limit !== undefined)
      throw new UnsupportedError(
        `Queue "${name}" cannot have a limit: all queues of a namespace share one stream, which has the only limit.`,
      );
    if (expiresMs !== undefined)
      throw new UnsupportedError(
        `Queue "${name}" cannot expire: JetStream deletes no queue of its own accord.`,
      );
    const { records, names, environment } = this.#ports;
    for (;;) {
      const found = await this.find(name);
      if (found) return checkSettings(spec, found.lease);
      const fresh: Lease = {
        queueId: environment.randomId(),
        ownership,
        expiresMs,
        owner: undefined,
        session: undefined,
        incarnation: undefined,
        ownerTimeoutMs: 0,
        // A record that starts anew must not turn fences backwards, so the first epoch is a time.
        epoch: Math.max(1, environment.clock.wall()),
        isBound: false,
        segments: [],
        again: undefined,
        begun: [],
        delivered: 0,
        unclean: 0,
        formers: [],
        isClean: true,
        settled: [],
        server: undefined,
        uncertain: 0,
      };
      try {
        await records.put(names.lease(name), encodeLease(fresh), 0);
        return;
      } catch (error) {
        // Another master was a little faster.
        if (!(error instanceof FencedError)) throw error;
      }
    }
  }

  async find(name: string): Promise<KnownLease | undefined> {
    const at = await this.#ports.records.get(this.#ports.names.lease(name));
    const lease = at && decodeLease(at.body);
    if (lease === 'newer')
      throw new QueueSettingsError(
        `The record of queue "${name}" was written by a newer signalbox: upgrade this master.`,
      );
    return at && lease && { lease, at };
  }

  async get(name: string): Promise<KnownLease> {
    const found = await this.find(name);
    if (!found) throw notFound(name);
    return found;
  }

  async list(): Promise<{ readonly name: string; readonly known: KnownLease }[]> {
    const { records, names } = this.#ports;
    const subjects = await records.subjects(names.leases);
    const all = await Promise.all(
      subjects.map(async (subject) => {
        const name = names.nameIn(subject);
        const known = await this.find(name);
        return known ? [{ name, known }] : [];
      }),
    );
    return all.flat();
  }

  async delete(name: string, { whileInUse }: { readonly whileInUse: boolean }): Promise<void> {
    const { records, names, control, letters } = this.#ports;
    for (;;) {
      const { at } = await this.get(name);
      if (!whileInUse) await this.#checkUnused(name);
      // The lease first: from now on nobody can own it.
      if (await records.remove(names.lease(name), at.revision)) break;
    }
    control.announce({ queue: name, what: 'lease' });
    await records.removeAll(names.checkpoint(name));
    await this.#deleteConsumers(name);
    await letters.forget(name);
  }

  async #checkUnused(name: string): Promise<void> {
    const known = await this.#ports.masters.known();
    const isUsed = known.some(({ queues }) =>
      queues.some((queue) => queue.name === name && (queue.isStandby || queue.consumes || queue.owns)),
    );
    if (isUsed)
      throw new QueueInUseError(
        `Queue "${name}" has consumers. Stop them first, or delete it with { whileInUse: true }.`,
      );
  }

  async #deleteConsumers(name: string): Promise<void> {
    const { events, letterConsumers, names } = this.#ports;
    for (const consumers of [events, letterConsumers])
      for (const consumer of await consumers.names())
        if (names.isOf(consumer, name)) await consumers.delete(consumer);
  }
}

export function notFound(queue: string): QueueNotFoundError {
  return new QueueNotFoundError(`There is no queue "${queue}". It was never declared, or it was deleted.`);
}

function checkSettings(spec: QueueSpec, lease: Lease): void {
  const differences: string[] = [];
  for (const setting of ['ownership', 'expiresMs'] as const)
    if (lease[setting] !== spec[setting])
      differences.push(`${setting}: it has ${String(lease[setting])}, asked for ${String(spec[setting])}`);
  if (differences.length > 0)
    throw new QueueSettingsError(
      `Queue "${spec.name}" exists with other settings (${differences.join('; ')}). Delete it or pick another name.`,
    );
}
