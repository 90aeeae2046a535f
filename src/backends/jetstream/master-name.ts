import type { Clock, Timer } from '../../model/clock.js';
import { FencedError, MasterNameTakenError } from '../../model/errors.js';
import type { Control } from './control.js';
import type { Names } from './names.js';
import type { Records } from './records.js';

/** What a master notes of itself. */
export interface MasterRecord {
  readonly incarnation: string;
  readonly session: string;
  /** Counts, so that each note is another. */
  readonly beat: number;
}

export interface NamePorts {
  readonly records: Records;
  readonly control: Control;
  readonly names: Names;
  readonly clock: Clock;
  readonly master: string;
  readonly incarnation: string;
  readonly session: string;
  readonly ownerTimeoutMs: number;
  /** A note that was sent then is kept. */
  readonly renewed: (sentAt: number) => void;
  /** Somebody else has the name now. */
  readonly lost: () => void;
}

/** So long a session of that name is asked before it is taken for one that lives, if it says nothing. */
const SILENT_MAX_MS = 2_000;
/** So many times the name is tried for while others try as well. */
const TRIES = 10;

/**
 * The name of a master, as a record of who has it. It is renewed: a master whose record does not change for its
 * `ownerTimeoutMs` is taken for frozen, and its queues pass to others.
 */
export class MasterName {
  readonly #ports: NamePorts;
  #revision = 0;
  #beats = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  private constructor(ports: NamePorts) {
    this.#ports = ports;
  }

  /** MasterNameTakenError if a living master of another incarnation has it. */
  static async take(ports: NamePorts): Promise<MasterName> {
    const name = new MasterName(ports);
    for (let tries = 0; ; tries++) {
      try {
        await name.#take();
        return name;
      } catch (error) {
        if (!(error instanceof FencedError) || tries === TRIES) throw error;
      }
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#ports.clock.clearTimeout(this.#timer);
  }

  /** Another may have it from now on. */
  async giveBack(): Promise<void> {
    this.stop();
    await this.#renewing;
    const { records, names, master } = this.#ports;
    await records.remove(names.master(master), this.#revision);
  }

  async #take(): Promise<void> {
    const { records, names, master, incarnation, control } = this.#ports;
    const found = await records.get(names.master(master));
    const holder = found && readMaster(found.body);
    if (holder && holder.incarnation !== incarnation && (await this.#lives(holder.session)))
      throw new MasterNameTakenError(`A living master is named "${master}". Pick another name.`);
    await this.#write(found?.revision ?? 0);
    if (holder?.incarnation === incarnation) control.replace(holder.session);
    this.#later();
  }

  async #lives(session: string): Promise<boolean> {
    const { control, clock, ownerTimeoutMs } = this.#ports;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => resolve(true), Math.min(ownerTimeoutMs, SILENT_MAX_MS));
      const answer = (lives: boolean) => {
        clock.clearTimeout(timer);
        resolve(lives);
      };
      control.ask(session, { alive: () => answer(true), gone: () => answer(false) });
    });
  }

  async #write(revision: number): Promise<void> {
    const { records, names, master, incarnation, session, clock, renewed } = this.#ports;
    const record: MasterRecord = { incarnation, session, beat: ++this.#beats };
    const sentAt = clock.now();
    this.#revision = await records.put(names.master(master), JSON.stringify(record), revision);
    renewed(sentAt);
  }

  #renewing: Promise<void> | undefined;

  /** Resolves when it is noted again that this master lives, or when that could not be told. */
  renew(): Promise<void> {
    return (this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined)));
  }

  async #renew(): Promise<void> {
    const { records, names, master, session, lost } = this.#ports;
    try {
      await this.#write(this.#revision).catch(async (error: unknown) => {
        if (!(error instanceof FencedError)) throw error;
        // Somebody who found nobody here has taken the note away: only another one says that the name is lost.
        const found = await records.get(names.master(master));
        if (found && readMaster(found.body)?.session !== session) throw error;
        await this.#write(found?.revision ?? 0);
      });
    } catch (error) {
      if (error instanceof FencedError && !this.#isStopped) lost();
    }
  }

  #later(): void {
    if (this.#isStopped) return;
    const { clock, ownerTimeoutMs } = this.#ports;
    this.#timer = clock.setTimeout(() => {
      void this.renew().then(() => this.#later());
    }, ownerTimeoutMs / 3);
  }
}

export function readMaster(body: Uint8Array): MasterRecord | undefined {
  try {
    const record = JSON.parse(Buffer.from(body).toString()) as Partial<MasterRecord> | null;
    const { incarnation, session, beat } = record ?? {};
    if (typeof incarnation !== 'string' || typeof session !== 'string') return undefined;
    return { incarnation, session, beat: Number(beat) || 0 };
  } catch {
    return undefined;
  }
}
