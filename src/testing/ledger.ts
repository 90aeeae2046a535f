/**
 * A producer's publish was confirmed: from now on somebody is responsible for it. `queues` are the durable queues that
 * must have it, by the bindings in force when it was published.
 */
export interface ConfirmedRecord {
  readonly type: 'confirmed';
  readonly id: string;
  readonly topic: string;
  readonly producer: string;
  /** Rises in the order of the producer's publishes. */
  readonly sequence: number;
  readonly queues: readonly string[];
}

/** A handler has done its work for one delivery; what failed or was cut off is not handled. */
export interface HandledRecord {
  readonly type: 'handled';
  readonly queue: string;
  readonly id: string;
  readonly master: string;
  /** Of the exclusive queue's owner; undefined, or missing, for a shared queue. */
  readonly epoch?: number | undefined;
  readonly attempt: number;
  /** `delivery.redelivered`: a handler may have seen it before, or its producer sent it again. */
  readonly redelivered: boolean;
  /** Known to be a copy that the producer sent again; a handler of the public API can't tell, and says false. */
  readonly resent: boolean;
}

/**
 * Something that an owner did under its epoch was accepted: an ack, a save, a fenced publish. Acceptance has an order
 * only where one observer sees the effects of all owners, such as a subscriber of what they publish.
 */
export interface EffectRecord {
  readonly type: 'effect';
  readonly queue: string;
  readonly epoch: number;
  readonly master: string;
  readonly observer: string;
}

/** Plain data: it may come as a line of JSON from another process. */
export type LedgerRecord = ConfirmedRecord | HandledRecord | EffectRecord;

/** What the ledger says of one queue, or of all. Whatever is not zero from `lost` on breaks a promise. */
export interface QueueVerdict {
  /** Messages that the queue must have. */
  readonly owed: number;
  /** Messages handled to completion, each counted once. */
  readonly handled: number;
  /** Completed handlings that were flagged as redelivered or sent again: allowed, and a price. */
  readonly redelivered: number;
  /** Confirmed and owed to the queue, but never handled to completion. A dead letter is lost in this sense. */
  readonly lost: number;
  /**
   * Handlings of a message beyond its first that were not flagged, unless a copy of that id is known to have been sent
   * again. Which handling was the first is not asked, since processes report in any order: one unflagged is allowed.
   */
  readonly duplicated: number;
  /**
   * Exclusive queues: messages whose first completed handling came after that of a later message of the same producer.
   * Handlings are ordered by epoch, and within an epoch as its owner reported them; so it means something at concurrency
   * 1, where order of completion is promised. Copies known to have been sent again are left out: their place is where the
   * queue accepted them.
   */
  readonly reordered: number;
  /**
   * Effects accepted for an epoch after one was accepted for a higher epoch of that queue, in the order of one observer;
   * and epochs that two masters claim to hold, since these hide what they did to each other.
   */
  readonly twoOwners: number;
}

export interface Verdict {
  /** Confirmed messages. */
  readonly published: number;
  /** Sum over the queues. */
  readonly handled: number;
  readonly redelivered: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly twoOwners: number;
  /** Queues held, bindings, actors, timers, sockets and processes that outlived what they were for: counted by the caller. */
  readonly leftBehind: number;
}

interface Message {
  topic: string;
  producer: string;
  sequence: number;
  resent: boolean;
}

/** One message in one queue. */
interface Account {
  owed: boolean;
  unflagged: number;
  flagged: number;
}

/**
 * Holds what was confirmed against what was handled, and judges. Records of one process must come in its order; between
 * processes any order will do, also a handling before its confirm. Nothing is judged until it is asked.
 */
export class Ledger {
  readonly #messages = new Map<string, Message>();
  readonly #books = new Map<string, Book>();
  readonly #confirmed = new Set<string>();
  #outstanding = 0;

  record(record: LedgerRecord): void {
    if (record.type === 'confirmed') this.#confirm(record);
    else if (record.type === 'handled') this.#handle(record);
    else this.#book(record.queue).effect(record);
  }

  /** Messages owed to a queue and not handled so far, over all queues. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** The queues that were named, in the order of their first record. */
  get queues(): readonly string[] {
    return [...this.#books.keys()];
  }

  queue(name: string): QueueVerdict {
    return this.#book(name).judge(this.#messages, () => {});
  }

  judge({ leftBehind }: { readonly leftBehind: number }): Verdict {
    const verdicts = this.queues.map((name) => this.queue(name));
    const sum = (column: keyof QueueVerdict) =>
      verdicts.reduce((total, verdict) => total + verdict[column], 0);
    return {
      published: this.#confirmed.size,
      handled: sum('handled'),
      redelivered: sum('redelivered'),
      lost: sum('lost'),
      duplicated: sum('duplicated'),
      reordered: sum('reordered'),
      twoOwners: sum('twoOwners'),
      leftBehind,
    };
  }

  /** What broke a promise, one sentence each, at most so many. */
  evidence(max = 20): readonly string[] {
    const sentences: string[] = [];
    for (const [name, book] of this.#books)
      book.judge(this.#messages, (what) => {
        if (sentences.length < max) sentences.push(`${name}: ${what}`);
      });
    return sentences;
  }

  #confirm({ id, topic, producer, sequence, queues }: ConfirmedRecord): void {
    const known = this.#messages.get(id);
    if (known) Object.assign(known, { topic, producer, sequence });
    else this.#messages.set(id, { topic, producer, sequence, resent: false });
    this.#confirmed.add(id);
    for (const queue of queues) {
      const account = this.#book(queue).account(id);
      if (account.owed) continue;
      account.owed = true;
      if (!isHandled(account)) this.#outstanding++;
    }
  }

  #handle(record: HandledRecord): void {
    const book = this.#book(record.queue);
    const account = book.account(record.id);
    if (account.owed && !isHandled(account)) this.#outstanding--;
    if (record.resent) this.#noteResent(record.id);
    book.handle(record, account);
  }

  #noteResent(id: string): void {
    const message = this.#messages.get(id);
    if (message) message.resent = true;
    // Until it is confirmed nobody knows its place.
    else this.#messages.set(id, { topic: '', producer: '', sequence: 0, resent: true });
  }

  #book(queue: string): Book {
    let book = this.#books.get(queue);
    if (!book) this.#books.set(queue, (book = new Book()));
    return book;
  }
}

/** What is known of one queue. */
class Book {
  readonly #accounts = new Map<string, Account>();
  /** Of an exclusive queue: what each epoch handled, in its owner's order. */
  readonly #epochs = new Map<number, string[]>();
  readonly #holders = new Map<number, Set<string>>();
  /** By observer, the highest epoch of which it saw an effect. */
  readonly #highest = new Map<string, number>();
  readonly #late: EffectRecord[] = [];

  account(id: string): Account {
    let account = this.#accounts.get(id);
    if (!account) this.#accounts.set(id, (account = { owed: false, unflagged: 0, flagged: 0 }));
    return account;
  }

  handle({ id, epoch, master, redelivered, resent }: HandledRecord, account: Account): void {
    if (redelivered || resent) account.flagged++;
    else account.unflagged++;
    if (epoch === undefined) return;
    this.#hold(epoch, master);
    const handled = this.#epochs.get(epoch);
    if (handled) handled.push(id);
    else this.#epochs.set(epoch, [id]);
  }

  effect(record: EffectRecord): void {
    const { epoch, master, observer } = record;
    this.#hold(epoch, master);
    if (epoch < (this.#highest.get(observer) ?? epoch)) this.#late.push(record);
    else this.#highest.set(observer, epoch);
  }

  judge(messages: ReadonlyMap<string, Message>, tell: (what: string) => void): QueueVerdict {
    const verdict = { owed: 0, handled: 0, redelivered: 0, lost: 0, duplicated: 0 };
    for (const [id, account] of this.#accounts) {
      const { owed, unflagged, flagged } = account;
      if (owed) verdict.owed++;
      if (isHandled(account)) verdict.handled++;
      verdict.redelivered += flagged;
      if (owed && !isHandled(account)) {
        verdict.lost++;
        tell(`${nameOf(id, messages)} was confirmed and never handled.`);
      }
      if (unflagged > 1 && !messages.get(id)?.resent) {
        verdict.duplicated += unflagged - 1;
        tell(`${nameOf(id, messages)} was handled ${unflagged} times without a flag.`);
      }
    }
    return { ...verdict, reordered: this.#reordered(messages, tell), twoOwners: this.#twoOwners(tell) };
  }

  #reordered(messages: ReadonlyMap<string, Message>, tell: (what: string) => void): number {
    let reordered = 0;
    const seen = new Set<string>();
    const last = new Map<string, { id: string; sequence: number }>();
    for (const epoch of [...this.#epochs.keys()].sort((one, other) => one - other))
      for (const id of this.#epochs.get(epoch)!) {
        if (seen.has(id)) continue;
        seen.add(id);
        const message = messages.get(id);
        if (!message || message.resent) continue;
        const { producer, sequence } = message;
        const before = last.get(producer);
        if (!before || before.sequence < sequence) last.set(producer, { id, sequence });
        else {
          reordered++;
          tell(
            `${nameOf(id, messages)} was handled after ${nameOf(before.id, messages)}, in epoch ${epoch}.`,
          );
        }
      }
    return reordered;
  }

  #twoOwners(tell: (what: string) => void): number {
    for (const { epoch, master, observer } of this.#late)
      tell(
        `An effect of epoch ${epoch} (${master}) was accepted after one of a higher epoch, as ${observer} saw.`,
      );
    let shared = 0;
    for (const [epoch, masters] of this.#holders) {
      if (masters.size === 1) continue;
      shared++;
      tell(`Epoch ${epoch} was held by ${[...masters].join(' and ')}.`);
    }
    return this.#late.length + shared;
  }

  #hold(epoch: number, master: string): void {
    const masters = this.#holders.get(epoch);
    if (masters) masters.add(master);
    else this.#holders.set(epoch, new Set([master]));
  }
}

function isHandled(account: Account): boolean {
  return account.unflagged + account.flagged > 0;
}

function nameOf(id: string, messages: ReadonlyMap<string, Message>): string {
  const topic = messages.get(id)?.topic;
  return topic ? `${id} (${topic})` : id;
}
