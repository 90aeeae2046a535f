import type { Claim, Consumer, Delivery, Ownership, TransientQueue } from '../../backend.js';
import { FencedError, ProtocolError, SessionLostError } from '../../model/errors.js';
import { TurnoverMap } from '../../model/turnover-map.js';
import type { HubSession } from '../hub/hub-session.js';
import { errorWord } from './error-words.js';
import type { FrameWriter, Word } from './frames.js';
import { PackedEnvelope, packEnvelope } from './packed-envelope.js';
import { readAck, readBytes, readLetter, readNumber, readSpec, readText, readTexts } from './read-word.js';
import { RunReader } from './runs.js';
import { Said, Told, type Calls, type DeliveryName, type PackedLetter } from './words.js';

/** What may wait for a master that does not read: transient messages beyond it are missed, deliveries wait. */
const WAITING_MAX_BYTES = 16_777_216;

interface Consuming {
  readonly consumer: Promise<Consumer>;
  opened: Consumer | undefined;
  readonly deliveries: TurnoverMap<number, Delivery>;
}

type Answer<Name extends keyof Calls> = ReturnType<Calls[Name]> | Promise<ReturnType<Calls[Name]>>;
type Answers = { readonly [Name in keyof Calls]: (args: readonly unknown[]) => Answer<Name> };

/**
 * A master at the other end of a socket, seen from the hub: what it says is done with a session of the hub, and what that
 * session tells is said to it. Numbers are the master's; one that names nothing any more is passed over, since what it
 * named may have ended while the word was under way.
 */
export class HubPeer {
  readonly #session: HubSession;
  readonly #writer: FrameWriter;
  readonly #listeners = new Map<number, Promise<TransientQueue>>();
  readonly #claims = new Map<number, Promise<Claim>>();
  readonly #ownerships = new Map<number, Ownership>();
  readonly #consumers = new Map<number, Consuming>();
  readonly #missed = new Map<number, number>();
  #published = 0;

  constructor(session: HubSession, writer: FrameWriter) {
    this.#session = session;
    this.#writer = writer;
    session.keepsUp = () => writer.bytesWaiting < WAITING_MAX_BYTES;
  }

  /** The socket has room again. */
  caughtUp(): void {
    for (const [listener, count] of this.#missed) this.#writer.say([Told.missed, listener, count]);
    this.#missed.clear();
    this.#session.resume();
  }

  /** Does what the words of one frame say. Throws a ProtocolError for what makes no sense. */
  hear(words: readonly Word[]): void {
    const before = this.#published;
    this.#session.together(() => {
      for (const word of words) this.#do(word);
    });
    const upTo = this.#published;
    if (upTo > before) this.#session.afterFlush(() => this.#writer.say([Told.confirmed, upTo]));
  }

  #do(word: Word): void {
    switch (word[0]) {
      case Said.publish:
        return this.#publish(readBytes(word[1]));
      case Said.ack:
        return this.#ack(word);
      case Said.begin:
        return void this.#find(word[1], word[2])?.begin(readNumber(word[3]));
      case Said.cutOff:
        return this.#find(word[1], word[2])?.cutOff();
      case Said.ping:
        return this.#writer.say([Told.pong, word[1]]);
      case Said.call:
        return this.#call(readNumber(word[1]), readText(word[2]), word.slice(3));
      default:
        throw new ProtocolError(`A master said something unknown (${word[0]}).`);
    }
  }

  #publish(bytes: Buffer): void {
    // One copy for all: a view would keep in memory whatever came with the frame.
    const run = new RunReader(Buffer.from(bytes));
    const [claim] = run.numbers;
    const fence = claim === 0 ? undefined : this.#ownerships.get(claim);
    while (run.next()) {
      const number = ++this.#published;
      const envelope = new PackedEnvelope(undefined, run.bytes.subarray(run.from, run.to));
      const refusal =
        claim === 0 || fence
          ? this.#session.post(envelope, fence)
          : new FencedError('The ownership has ended.');
      if (refusal) this.#notTaken(number, refusal);
    }
  }

  #ack(word: Word): void {
    const [consumer, from, to] = readAck(word);
    const deliveries = this.#consumers.get(consumer)?.deliveries;
    if (!deliveries) return;
    for (let number = from; number <= to; number++) {
      const delivery = deliveries.get(number);
      if (!delivery) continue;
      deliveries.delete(number);
      delivery.ack();
    }
  }

  #notTaken(number: number, error: Error): void {
    this.#writer.say([Told.notTaken, number, errorWord(error)]);
  }

  #call(number: number, name: string, args: readonly unknown[]): void {
    if (!Object.hasOwn(this.#answers, name)) throw new ProtocolError(`A master made an unknown call.`);
    const answer = async () => this.#answers[name as keyof Calls](args);
    answer().then(
      (result) => this.#writer.say([Told.result, number, result ?? null]),
      (error: unknown) => this.#writer.say([Told.failed, number, errorWord(error)]),
    );
  }

  readonly #answers: Answers = {
    listen: ([listener]) => this.#listen(readNumber(listener)),
    unlisten: async ([listener]) => {
      const queue = this.#listeners.get(readNumber(listener));
      this.#listeners.delete(readNumber(listener));
      await (await queue)?.close();
    },
    bind: async ([listener, pattern]) => (await this.#listener(listener)).bind(readText(pattern)),
    unbind: async ([listener, pattern]) => (await this.#listener(listener)).unbind(readText(pattern)),
    declare: ([spec]) => this.#session.declareQueue(readSpec(spec)),
    find: ([queue]) => this.#session.findQueue(readText(queue)),
    remove: ([queue, whileInUse]) =>
      this.#session.deleteQueue(readText(queue), { whileInUse: whileInUse === true }),
    queues: () => this.#session.queues(),
    claim: ([claim, queue]) => this.#claim(readNumber(claim), readText(queue)),
    withdraw: async ([claim]) => {
      const standing = this.#claims.get(readNumber(claim));
      this.#claims.delete(readNumber(claim));
      this.#ownerships.delete(readNumber(claim));
      await (await standing)?.withdraw();
    },
    bindQueue: ([claim, patterns]) => this.#ownership(claim).bind(readTexts(patterns)),
    save: ([claim, checkpoint, settled]) => this.#save(this.#ownership(claim), checkpoint, settled),
    consume: ([consumer, queue, prefetch, claim]) =>
      this.#consume(readNumber(consumer), readText(queue), {
        prefetch: readNumber(prefetch),
        ownership: claim === null ? undefined : this.#ownership(claim),
      }),
    // At once: an ack that comes behind it makes room for as many as it says.
    allow: ([consumer, inHand]) =>
      this.#consumers.get(readNumber(consumer))?.opened?.allow?.(readNumber(inHand)),
    endConsumer: async ([number]) => {
      const consuming = this.#consumers.get(readNumber(number));
      this.#consumers.delete(readNumber(number));
      await (await consuming?.consumer)?.close();
    },
    reject: ([consumer, number, letter]) => this.#reject(readNumber(consumer), readNumber(number), letter),
    letterIds: ([queue]) => [...this.#session.letters(readText(queue)).keys()],
    letters: ([queue, ids]) => this.#letters(readText(queue), readTexts(ids)),
    redrive: ([queue, ids]) => this.#session.redrive(readText(queue), readIds(ids)),
    dropLetters: ([queue, ids]) => this.#session.dropDeadLetters(readText(queue), readIds(ids)),
    close: () => this.#session.close(),
  };

  async #listen(number: number): Promise<void> {
    const queue = this.#session.listen({
      message: (envelope) => {
        if (this.#hears(number)) this.#writer.carry([Told.message, number, 0, 0, 0], packEnvelope(envelope));
        else this.#missed.set(number, (this.#missed.get(number) ?? 0) + 1);
      },
      missed: () => {},
    });
    this.#listeners.set(number, queue);
    await queue;
  }

  /** Whether the listener gets the next message. One that has missed some hears of it first, once there is room for many. */
  #hears(listener: number): boolean {
    const missed = this.#missed.get(listener);
    if (missed === undefined) return this.#session.keepsUp();
    if (this.#writer.bytesWaiting > WAITING_MAX_BYTES / 2) return false;
    this.#missed.delete(listener);
    this.#writer.say([Told.missed, listener, missed]);
    return true;
  }

  #listener(number: unknown): Promise<TransientQueue> {
    const queue = this.#listeners.get(readNumber(number));
    return queue ?? Promise.reject(new SessionLostError('The transient queue was closed.'));
  }

  async #claim(number: number, queue: string): Promise<void> {
    const standing = this.#session.claim(queue, {
      granted: (ownership) => {
        this.#ownerships.set(number, ownership);
        const { epoch, queueId, checkpoint } = ownership;
        this.#writer.say([Told.granted, number, { epoch, queueId, checkpoint: checkpoint ?? null }]);
      },
      standby: (holder) => this.#writer.say([Told.standby, number, holder]),
      // In the hub an ownership ends with its claim or its session only.
      fenced: () => {},
      lost: (reason) => this.#writer.say([Told.claimLost, number, errorWord(reason)]),
      full: (waiting) => this.#writer.say([Told.full, number, waiting]),
    });
    this.#claims.set(number, standing);
    await standing;
  }

  #ownership(claim: unknown): Ownership {
    const ownership = this.#ownerships.get(readNumber(claim));
    if (ownership) return ownership;
    throw new FencedError('The ownership has ended.');
  }

  async #save(ownership: Ownership, checkpoint: unknown, settled: unknown): Promise<void> {
    if (!Array.isArray(settled)) throw new ProtocolError('A save without a list of deliveries came.');
    const names = settled.map((name: DeliveryName): DeliveryName => [
      readNumber(name[0]),
      readNumber(name[1]),
    ]);
    const deliveries = names.flatMap((name) => this.#take(name) ?? []);
    await ownership.save(Uint8Array.from(readBytes(checkpoint)), deliveries);
  }

  async #consume(
    number: number,
    queue: string,
    options: { prefetch: number; ownership: Ownership | undefined },
  ): Promise<void> {
    const deliveries = new TurnoverMap<number, Delivery>();
    let last = 0;
    const consumer = this.#session.consume(queue, options, {
      delivery: (delivery) => {
        const { envelope, redelivered, attempt, redrives } = delivery;
        const head = [Told.delivery, number, attempt, redelivered ? 1 : 0, redrives] as const;
        this.#writer.carry(head, packEnvelope(envelope));
        // Only what was said has a number: the master counts what it hears.
        deliveries.set(++last, delivery);
      },
      lost: (reason) => this.#writer.say([Told.consumerLost, number, errorWord(reason)]),
    });
    const consuming: Consuming = { consumer, opened: undefined, deliveries };
    this.#consumers.set(number, consuming);
    consuming.opened = await consumer;
  }

  #find(consumer: unknown, delivery: unknown): Delivery | undefined {
    return this.#consumers.get(readNumber(consumer))?.deliveries.get(readNumber(delivery));
  }

  #take([consumer, number]: DeliveryName): Delivery | undefined {
    const deliveries = this.#consumers.get(consumer)?.deliveries;
    const delivery = deliveries?.get(number);
    deliveries?.delete(number);
    return delivery;
  }

  async #reject(consumer: number, number: number, letter: unknown): Promise<void> {
    const delivery = this.#find(consumer, number);
    if (!delivery) throw new FencedError('The message is no longer held here.');
    await delivery.reject(readLetter(letter));
    this.#take([consumer, number]);
  }

  #letters(queue: string, ids: readonly string[]): PackedLetter[] {
    const letters = this.#session.letters(queue);
    return ids.flatMap((id) => {
      const letter = letters.get(id);
      if (!letter) return [];
      const { envelope, reason, error, attempts, at, history } = letter;
      return { id, reason, error, attempts, at, history, bytes: packEnvelope(envelope) };
    });
  }
}

function readIds(ids: unknown): readonly string[] | undefined {
  return ids === null ? undefined : readTexts(ids);
}
