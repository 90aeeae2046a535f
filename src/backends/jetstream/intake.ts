import { TurnoverMap } from '../../model/turnover-map.js';
import { comesBefore, type Held } from './held.js';
import type { Source } from './source.js';

export interface IntakePorts {
  /** A shared queue has no one order: others give back what is then taken from wherever it is. */
  readonly isOrdered: boolean;
  /** Of an exclusive queue: whether it was settled before, by whomever. */
  readonly isSettled: (held: Held) => boolean;
  /** An old source has nothing left, and nothing of it is in hand. */
  readonly done: (source: Source) => void;
}

/** Who is handed what comes, in order, as long as there is room. */
export interface Taker {
  readonly room: number;
  take(held: Held): void;
}

/**
 * What comes from the sources of a queue, in the order of the queue: a source that was replaced gives all that it has before
 * the next one is asked. Whatever was asked for and is wanted by nobody just now waits here.
 */
export class Intake {
  readonly #ports: IntakePorts;
  #sources: Source[] = [];
  #again: Source | undefined;
  /** Not settled, in hand or waiting, by source and sequence. */
  readonly #known = new TurnoverMap<string, Held>();
  #waiting: Held[] = [];
  #taker: Taker | undefined;
  #isRefreshing = false;
  #isFilling = false;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
  }

  get sources(): readonly Source[] {
    return this.#again ? [this.#again, ...this.#sources] : this.#sources;
  }

  get known(): Iterable<Held> {
    return this.#known.values();
  }

  add(source: Source): void {
    if (source.isAgain) this.#again = source;
    else this.#sources.push(source);
    this.fill();
  }

  remove(source: Source): void {
    this.#sources = this.#sources.filter((one) => one !== source);
    if (this.#again === source) this.#again = undefined;
    source.stop();
  }

  find(consumer: string): Source | undefined {
    return this.sources.find((source) => source.consumer === consumer);
  }

  /** From now on `taker` is handed what comes. */
  async attach(taker: Taker): Promise<void> {
    this.#taker = taker;
    await this.refresh();
  }

  detach(): void {
    this.#taker = undefined;
  }

  /** Looks for letters that were put back, and hands over nothing before it knows. */
  async refresh(): Promise<void> {
    const again = this.#again;
    if (again && this.#taker) {
      this.#isRefreshing = true;
      await again.refresh(Math.max(1, this.#taker.room));
      this.#isRefreshing = false;
    }
    this.fill();
  }

  taken(held: Held): void {
    const known = this.#known.get(held.key);
    if (known) {
      // It has come again by time: the server wants to hear of this delivery.
      known.ack = held.ack;
      known.source = held.source;
      return this.fill();
    }
    if (this.#ports.isSettled(held)) {
      held.source.ack(held);
      return this.fill();
    }
    this.#known.set(held.key, held);
    this.#insert(held);
    this.fill();
  }

  /** It is settled. */
  forget(held: Held): void {
    this.#known.delete(held.key);
    this.fill();
  }

  /** They wait again, in their order. */
  giveBack(items: readonly Held[]): void {
    for (const held of items) this.#insert(held);
  }

  /** Nothing is held any more. */
  takeAll(): Held[] {
    const all = [...this.#known.values()].sort((one, other) => (comesBefore(one, other) ? -1 : 1));
    this.#known.clear();
    this.#waiting = [];
    return all;
  }

  /** Hands over what waits, and asks for as much as there is room for. */
  fill(): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    try {
      if (!this.#isPaused())
        while (this.#taker && this.#taker.room > 0 && this.#waiting.length > 0)
          this.#taker.take(this.#waiting.shift()!);
      this.#ask();
    } finally {
      this.#isFilling = false;
    }
    this.#retire();
  }

  /** Whether letters that were put back may still come that belong before what waits. */
  #isPaused(): boolean {
    return this.#ports.isOrdered && (this.#isRefreshing || (this.#again?.asked ?? 0) > 0);
  }

  #ask(): void {
    const taker = this.#taker;
    if (!taker) return;
    const source = this.#sources.find(({ isExhausted }) => !isExhausted);
    if (!source) return;
    const { asked } = source;
    const wanted = taker.room - this.#waiting.length - asked;
    // One that was replaced is asked whether it has anything left, though more was asked of it than it will ever give.
    if (source.until !== undefined) source.ask(Math.max(0, wanted));
    // Asking for each message alone would cost a question a message.
    else if (wanted > 0 && (asked === 0 || wanted >= (taker.room + asked) / 4)) source.ask(wanted);
  }

  #retire(): void {
    if (!this.#ports.isOrdered) return;
    for (const source of this.#sources) {
      if (!source.isExhausted || source.until === undefined) return;
      for (const held of this.#known.values()) if (held.source === source) return;
      this.remove(source);
      this.#ports.done(source);
    }
  }

  #insert(held: Held): void {
    let at = this.#waiting.length;
    while (at > 0 && comesBefore(held, this.#waiting[at - 1]!)) at--;
    this.#waiting.splice(at, 0, held);
  }
}
