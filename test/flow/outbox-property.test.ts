import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Receipt } from '../../src/model/receipt.js';
import { OutboxFullError, TimeoutError } from '../../src/model/errors.js';
import { isOpen } from '../../src/model/open-numbers.js';
import { FakeSession, OutboxLab, sequenceOf, type Handed } from './outbox-lab.js';

const WINDOW = 3;
const RETRY_MS = 600_000;

type Step =
  | { type: 'publish'; timeoutMs: number }
  /** Of the messages that the present session was given and has not answered, the `which`th. */
  | { type: 'confirm' | 'refuse' | 'confirm late'; which: number }
  /** Of the messages that wait for an answer or a place. */
  | { type: 'abort' | 'retry'; which: number }
  /** The session ends: it says so of all it has, or falls silent. */
  | { type: 'lose'; silently: boolean }
  | { type: 'open' | 'hold' }
  | { type: 'pass'; ms: number };

const which = fc.nat(20);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('publish'), timeoutMs: fc.constantFrom(50, 400) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constantFrom('confirm', 'refuse', 'confirm late'), which }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('abort', 'retry'), which }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('lose'), silently: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('open', 'hold') }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('pass'), ms: fc.constantFrom(10, 60, 500) }) },
) as fc.Arbitrary<Step>;

/** What happened to one number, told by the test's own book. */
interface Entry {
  readonly sequence: number;
  readonly abort: AbortController;
  /** How many sessions it was handed to, or how often to one. */
  copies: number;
  /** The publish and its retries; and how many of them have ended. */
  calls: number;
  ends: number;
  /** For which of the calls it was handed over last: a copy of one that has ended takes no place of the window. */
  handedFor: number;
  confirmed: boolean;
  timeout: TimeoutError | undefined;
}

/** Drives an outbox, and looks at everything that it hands over and says. */
class Book {
  readonly lab = new OutboxLab({ window: WINDOW, waitingMax: 12 });
  readonly entries: Entry[] = [];
  readonly faults: string[] = [];
  session = this.#session();
  #answered = new Set<Handed>();
  /** What lost sessions never answered. */
  readonly #lost: Handed[] = [];
  #flowing = false;

  async take(step: Step): Promise<void> {
    this.#take(step);
    if (step.type === 'pass') await this.lab.clock.advance(step.ms);
    await this.lab.settle();
    const waiting = this.entries.filter(({ calls, ends, handedFor }) => calls > ends && handedFor === calls);
    const inWindow = new Set(this.#unanswered().map(({ envelope }) => sequenceOf(envelope)));
    const count = waiting.filter(({ sequence }) => inWindow.has(sequence)).length;
    this.#check(count <= WINDOW, `${count} are in a window of ${WINDOW}`);
  }

  #take(step: Step): void {
    const { lab, session } = this;
    switch (step.type) {
      case 'publish':
        return this.#publish(step.timeoutMs);
      case 'confirm':
      case 'refuse':
        return this.#answer(step.type, step.which);
      case 'confirm late':
        return this.#lost[step.which % this.#lost.length]?.confirm();
      case 'abort':
        return this.#entry(step.which)?.abort.abort(new Error('aborted'));
      case 'retry': {
        const entry = this.#entry(step.which);
        const { timeout } = entry ?? {};
        if (timeout) this.#listen(entry!, () => timeout.retry());
        return;
      }
      case 'lose':
        lab.outbox.hold();
        this.#flowing = false;
        this.#lost.push(...this.#unanswered());
        if (!step.silently) session.lose();
        this.session = this.#session();
        return;
      case 'open':
        this.#flowing = true;
        return lab.open(session);
      case 'hold':
        this.#flowing = false;
        return lab.outbox.hold();
      case 'pass':
    }
  }

  #entry(which: number): Entry | undefined {
    return this.entries[which % this.entries.length];
  }

  #publish(timeoutMs: number): void {
    const abort = new AbortController();
    const entry: Entry = {
      sequence: this.entries.length + 1,
      abort,
      copies: 0,
      calls: 0,
      ends: 0,
      handedFor: 0,
      confirmed: false,
      timeout: undefined,
    };
    this.entries.push(entry);
    this.#listen(entry, () => this.lab.publish(null, { timeoutMs, signal: abort.signal }));
  }

  #answer(how: 'confirm' | 'refuse', which: number): void {
    const unanswered = this.#unanswered();
    const handed = unanswered[which % unanswered.length];
    if (!handed) return;
    this.#answered.add(handed);
    if (how === 'confirm') handed.confirm();
    else handed.refuse(new Error('refused'));
  }

  #unanswered(): Handed[] {
    return this.session.handed.filter((handed) => !this.#answered.has(handed));
  }

  #listen(entry: Entry, publish: () => Promise<Receipt>): void {
    entry.calls++;
    publish().then(
      (receipt) => {
        entry.ends++;
        entry.confirmed = true;
        this.#check(receipt.id === `p-${entry.sequence}`, `${receipt.id} is not ${entry.sequence}`);
        this.#check(entry.copies > 0, `${entry.sequence} was confirmed and never sent`);
      },
      (error: unknown) => {
        entry.ends++;
        // A refusal for want of room takes no number.
        if (error instanceof OutboxFullError) this.entries.splice(this.entries.indexOf(entry), 1);
        if (!(error instanceof TimeoutError)) return;
        entry.timeout = error;
        const outcome = entry.copies > 0 ? 'unknown' : 'not-sent';
        this.#check(error.outcome === outcome, `${entry.sequence} is told to be ${error.outcome}`);
      },
    );
  }

  #session(): FakeSession {
    return new FakeSession(0, (handed) => this.#look(handed));
  }

  #look({ envelope }: Handed): void {
    const sequence = sequenceOf(envelope);
    const entry = this.entries[sequence - 1]!;
    const { open } = envelope.origin!;
    this.#check(this.#flowing, `${sequence} was sent while the outbox holds`);
    this.#check(envelope.resent === entry.copies > 0, `${sequence} has the wrong flag`);
    this.#check(!entry.confirmed, `${sequence} was sent after its confirm`);
    entry.copies++;
    entry.handedFor = entry.calls;
    const answered = new Set([...this.#answered].map((handed) => sequenceOf(handed.envelope)));
    for (const { sequence: other, calls, ends } of this.entries)
      if (calls > ends && !answered.has(other))
        this.#check(isOpen(open, other), `${other} waits and is told to be closed`);
  }

  #check(holds: boolean, fault: string): void {
    if (!holds) this.faults.push(fault);
  }
}

describe('an outbox, whatever happens,', () => {
  it('ends every publish once, flags every copy, and never sends more than the window', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const book = new Book();
        for (const one of [{ type: 'open' } as Step, ...steps]) await book.take(one);
        await book.take({ type: 'pass', ms: 500 });
        expect(book.faults).toEqual([]);
        for (const { calls, ends } of book.entries) expect(ends).toBe(calls);
        expect(book.lab.outbox.waiting).toBe(0);
        // Ten minutes later no number is open, except those that are to come.
        await book.lab.clock.advance(RETRY_MS + 2_000);
        await book.take({ type: 'open' });
        await book.take({ type: 'publish', timeoutMs: 50 });
        const last = book.session.handed.at(-1)!.envelope;
        expect(last.origin!.open).toEqual([[sequenceOf(last), Infinity]]);
        await book.lab.outbox.drain(Promise.resolve());
        await book.lab.settle();
        expect(book.lab.clock.pending).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('sends again in the order of the numbers, and then what was never sent in the order of the publishes', async () => {
    const session = fc.array(fc.nat(9), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 15 }),
        fc.array(session, { maxLength: 6 }),
        async (count, sessions) => {
          const lab = new OutboxLab({ window: 4 });
          lab.publishMany(1, count);
          const confirmed: number[] = [];
          let sent = 0;
          for (const confirms of [...sessions, Array.from({ length: count }, () => 0)]) {
            const fake = new FakeSession();
            lab.open(fake);
            for (const at of confirms) {
              const open = fake.handed.filter(({ envelope }) => !confirmed.includes(sequenceOf(envelope)));
              const handed = open[at % open.length];
              if (!handed) break;
              confirmed.push(sequenceOf(handed.envelope));
              handed.confirm();
              await lab.settle();
            }
            const numbers = fake.handed.map(({ envelope }) => sequenceOf(envelope));
            expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
            for (const { envelope } of fake.handed)
              expect(envelope.resent).toBe(sequenceOf(envelope) <= sent);
            sent = Math.max(sent, ...numbers);
            lab.outbox.hold();
            fake.lose();
            await lab.settle();
          }
          expect(lab.confirmed).toEqual(confirmed);
          expect(confirmed.length).toBe(count);
        },
      ),
      { numRuns: 100 },
    );
  });
});
