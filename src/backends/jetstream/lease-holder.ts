import { FencedError } from '../../model/errors.js';
import { encodeLease, type Lease } from './lease.js';
import type { Records } from './records.js';

export interface LeaseHolderPorts {
  readonly records: Records;
  readonly subject: string;
  /** What goes with each write as it is then. */
  readonly current: () => Partial<Lease>;
  /** Somebody else has written it. */
  readonly lost: () => void;
}

/** The lease of a queue in its owner's hands. Changes that are asked for while one is written go out together. */
export class LeaseHolder {
  readonly #ports: LeaseHolderPorts;
  #lease: Lease;
  #revision: number;
  #patch: Partial<Lease> = {};
  #next: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(lease: Lease, revision: number, ports: LeaseHolderPorts) {
    this.#lease = lease;
    this.#revision = revision;
    this.#ports = ports;
  }

  get lease(): Lease {
    return this.#lease;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Resolves when whoever reads it finds the change; rejects with a FencedError when it is not ours any more. */
  change(patch: Partial<Lease>): Promise<void> {
    this.#patch = { ...this.#patch, ...patch };
    return (this.#next ??= this.#writing.then(() => this.#write()));
  }

  #write(): Promise<void> {
    const lease = { ...this.#lease, ...this.#ports.current(), ...this.#patch };
    this.#patch = {};
    this.#next = undefined;
    const work = this.#put(lease);
    this.#writing = work.catch(() => {});
    return work;
  }

  async #put(lease: Lease): Promise<void> {
    const { records, subject, lost } = this.#ports;
    try {
      this.#revision = await records.put(subject, encodeLease(lease), this.#revision);
      this.#lease = lease;
    } catch (error) {
      if (error instanceof FencedError) lost();
      throw error;
    }
  }
}
