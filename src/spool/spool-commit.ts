import type { Clock, Timer } from '../model/clock.js';
import { FolderError, SpoolFullError, toError } from '../model/errors.js';
import type { Databases, Key } from './databases.js';
import { writeAs, writeTotals, type Tenancy, type Totals } from './tenancy.js';
import { compareKeys, Writes, type Change } from './writes.js';

/** What nobody waits for waits so long for company. */
const COMPANY_MS = 5;
/** After a failure it is tried so often whether writing is possible again. */
const TRIED_EVERY_MS = 1_000;

export interface SpoolCommitPorts {
  readonly folder: string;
  readonly databases: Databases;
  readonly tenancy: Tenancy;
  readonly clock: Clock;
  /** With everything that is gathered. */
  readonly totals: () => Totals;
  /** Whether the disk has room: with none, LMDB must not even try. */
  readonly hasRoom: () => boolean;
  /** So many messages, of so many bytes, could not be put. */
  readonly notWritten: (puts: number, bytes: number) => void;
}

/**
 * Gathers changes and writes them, flushed, in one transaction at a time; what comes meanwhile goes with the next. After
 * a failure nothing is put, and removals are only remembered, until a write succeeds that it tries now and then; never
 * again once another process has taken the folder.
 */
export class SpoolCommit {
  failure: SpoolFullError | undefined;
  readonly #ports: SpoolCommitPorts;
  #gathered = new Writes();
  #inFlight: Writes | undefined;
  #soon: NodeJS.Immediate | undefined;
  #timer: Timer | undefined;
  #trial: Timer | undefined;
  #ended: (() => void) | undefined;

  constructor(ports: SpoolCommitPorts) {
    this.#ports = ports;
  }

  get pendingBytes(): number {
    return this.#gathered.bytes + (this.#inFlight?.bytes ?? 0);
  }

  /** Resolves when it is flushed. */
  put(key: Key, bytes: Uint8Array): Promise<void> {
    const flushed = this.#gathered.put(key, bytes);
    this.#wake();
    return flushed;
  }

  remove(key: Key): void {
    this.#gathered.remove(key);
    this.#wake();
  }

  /** What is to be changed at a place and is not flushed. */
  changes(key: Key): Change | undefined {
    return this.#gathered.at(key) ?? this.#inFlight?.at(key);
  }

  /** The first place where something is put and not flushed. */
  get firstPut(): Key | undefined {
    const [one, other] = [this.#gathered.firstPut, this.#inFlight?.firstPut];
    return one && other ? (compareKeys(one, other) < 0 ? one : other) : (one ?? other);
  }

  /** Writes what is left. */
  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => (this.#ended = resolve));
    this.#ports.clock.clearTimeout(this.#trial);
    this.#start();
    if (this.#inFlight) await ended;
  }

  #wake(): void {
    if (this.#inFlight || this.#soon || this.failure) return;
    if (this.#gathered.isAwaited) this.#soon = setImmediate(() => this.#start());
    else this.#timer ??= this.#ports.clock.setTimeout(() => this.#start(), COMPANY_MS);
  }

  #start(): void {
    clearImmediate(this.#soon);
    this.#ports.clock.clearTimeout(this.#timer);
    this.#soon = this.#timer = undefined;
    if (!this.#inFlight && !this.#gathered.isEmpty && !this.failure) this.#write();
  }

  /** Of a failed spool: the removals that it remembers, or nothing but the totals. */
  #try(): void {
    if (this.#ports.hasRoom()) this.#write();
    else this.#tryLater();
  }

  #tryLater(): void {
    this.#trial = this.#ports.clock.setTimeout(() => this.#try(), TRIED_EVERY_MS);
  }

  #write(): void {
    const { databases, tenancy, folder, totals } = this.#ports;
    const writes = (this.#inFlight = this.#gathered);
    this.#gathered = new Writes();
    writeAs(tenancy, databases, () => {
      for (const { key, bytes } of writes.all)
        void (bytes ? databases.messages.put(key, bytes) : databases.messages.remove(key));
      writeTotals(databases, totals());
    }).then(
      (isOurs) => {
        if (isOurs) this.#finish(writes);
        else this.#fail(new FolderError(`Another process has taken the folder "${folder}".`));
      },
      (error: unknown) => {
        this.#fail(error);
        if (!this.#ended) this.#tryLater();
      },
    );
  }

  #finish(writes: Writes): void {
    this.#inFlight = undefined;
    this.failure = undefined;
    for (const { settle } of writes.all) for (const { resolve } of settle) resolve();
    if (this.#ended) {
      if (this.#gathered.isEmpty) this.#ended();
      else this.#start();
    } else if (!this.#gathered.isEmpty) this.#wake();
  }

  #fail(thrown: unknown): void {
    const cause = toError(thrown);
    const failure = (this.failure = new SpoolFullError(
      `The spool "${this.#ports.folder}" cannot be written: ${cause.message}`,
      { cause },
    ));
    const changes = [...this.#inFlight!.all, ...this.#gathered.all];
    this.#inFlight = undefined;
    this.#gathered = new Writes();
    for (const { key, bytes, settle } of changes) {
      if (bytes) this.#ports.notWritten(1, bytes.length);
      else this.#gathered.remove(key);
      for (const { reject } of settle) reject(failure);
    }
    this.#ended?.();
  }
}
