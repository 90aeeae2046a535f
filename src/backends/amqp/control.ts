import type { ConsumeMessage } from 'amqplib';
import type { Holder } from '../../backend.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { Connection } from './connection.js';
import type { Direct } from './direct.js';
import type { Names } from './names.js';

/** What a master knows of a durable queue that it has to do with. */
export interface KnownQueue {
  readonly name: string;
  readonly ownership: 'exclusive' | 'shared' | undefined;
  readonly role: 'owner' | 'standby' | 'consumer' | undefined;
  readonly epoch: number;
  /** Of the owner. */
  readonly bindings: readonly string[];
  readonly consumes: boolean;
}

/** What masters tell each other. */
type Word =
  | { readonly kind: 'here'; readonly peers: readonly string[]; readonly isAnswer: boolean }
  | { readonly kind: 'again'; readonly master: string; readonly incarnation: string }
  | ({ readonly kind: 'holder'; readonly queue: string } & Holder)
  | { readonly kind: 'remake' }
  | { readonly kind: 'known'; readonly queues: readonly KnownQueue[] }
  | { readonly kind: 'ask'; readonly number: number }
  | {
      readonly kind: 'answer';
      readonly number: number;
      readonly master: string;
      readonly queues: KnownQueue[];
    };

interface Question {
  readonly awaited: Set<string>;
  readonly found: { master: string; queues: readonly KnownQueue[] }[];
  readonly done: () => void;
}

/** Until a peer that has not answered is asked again: its inbox may have gone with the question in it. */
const ASK_AGAIN_MS = 50;

export interface ControlPorts {
  readonly master: string;
  readonly incarnation: string;
  readonly clock: Clock;
  /** A master that is silent for so long is not waited for. */
  readonly patienceMs: number;
  known(): KnownQueue[];
  learn(queues: readonly KnownQueue[]): void;
  holder(queue: string, holder: Holder): void;
  /** The same master has connected again. */
  replaced(): void;
  /** Somebody misses the exchange. Resolves when this session has ended, if it should. */
  missed(): Promise<void>;
}

/** The key by which all inboxes are bound. */
const ALL = 'all';

/**
 * What masters tell each other: who is there, who owns what, which queues they know. Each session has an inbox that is gone
 * with its connection, so a word that comes back says that a master has gone.
 */
export class Control {
  readonly inbox: string;
  readonly #names: Names;
  readonly #direct: Direct;
  readonly #ports: ControlPorts;
  /** Inboxes of the other sessions. */
  readonly #peers = new Set<string>();
  readonly #questions = new Map<number, Question>();
  #numbers = 0;
  #missed: Promise<void> = Promise.resolve();

  constructor(names: Names, id: string, direct: Direct, ports: ControlPorts) {
    this.#names = names;
    this.#direct = direct;
    this.#ports = ports;
    this.inbox = names.ofSession('inbox', id);
  }

  async open(connection: Connection): Promise<void> {
    const channel = await connection.channel();
    await channel.assertQueue(this.inbox, { exclusive: true, durable: false });
    // Also shows whether this user may write to queues: what masters tell themselves is not heard.
    await this.#tell(this.inbox, { kind: 'known', queues: [] });
    await channel.consume(this.inbox, (message) => this.#hear(message), { noAck: true });
    // Said before our own inbox is bound, so it comes back if nobody is there.
    const found = this.#welcome(this.#ports.patienceMs);
    const isAlone = !(await this.#say({ kind: 'here', peers: [], isAnswer: false }));
    await channel.bindQueue(this.inbox, this.#names.control, ALL);
    if (isAlone) found.give();
    await found.done;
    // For those who came at the same time: of two, at least one hears the other.
    await this.#say({ kind: 'here', peers: [...this.#peers], isAnswer: false });
  }

  /** Whoever tells this master something from now on learns that it has gone. */
  async close(connection: Connection): Promise<void> {
    await connection.with((channel) => channel.deleteQueue(this.inbox));
  }

  /** Ends an earlier session of this incarnation, if it still lives. */
  async replace(): Promise<void> {
    const { master, incarnation } = this.#ports;
    await this.#say({ kind: 'again', master, incarnation });
  }

  /** Resolves when every session that should has ended; one that is silent is not waited for. */
  async endOthers(): Promise<void> {
    await this.#say({ kind: 'remake' });
    await this.ask();
  }

  async announce(queue: string, holder: Holder): Promise<void> {
    await this.#say({ kind: 'holder', queue, ...holder });
  }

  /** Queues that there are now, so that they are known when this master is gone. */
  async tellKnown(queues: readonly KnownQueue[]): Promise<void> {
    await this.#say({ kind: 'known', queues });
  }

  async tellHolder(inbox: string, queue: string, holder: Holder): Promise<void> {
    await this.#tell(inbox, { kind: 'holder', queue, ...holder });
  }

  /** What all living masters know, this one included. */
  async ask(): Promise<{ master: string; queues: readonly KnownQueue[] }[]> {
    const number = ++this.#numbers;
    const { clock, patienceMs, master } = this.#ports;
    let done!: () => void;
    const answered = new Promise<void>((resolve) => (done = resolve));
    const question: Question = { awaited: new Set(this.#peers), found: [], done };
    this.#questions.set(number, question);
    const deadline = clock.setTimeout(question.done, patienceMs);
    let again: Timer | undefined;
    const ask = (afterMs: number) => {
      for (const peer of question.awaited)
        void this.#tell(peer, { kind: 'ask', number }).then(
          (isThere) => {
            if (!isThere) this.#gone(peer);
          },
          () => this.#gone(peer),
        );
      again = clock.setTimeout(() => ask(afterMs * 2), afterMs);
    };
    ask(ASK_AGAIN_MS);
    if (question.awaited.size > 0) await answered;
    clock.clearTimeout(deadline);
    clock.clearTimeout(again);
    this.#questions.delete(number);
    return [...question.found, { master, queues: this.#ports.known() }];
  }

  #gone(peer: string): void {
    this.#peers.delete(peer);
    for (const question of this.#questions.values()) settle(question, peer);
  }

  #hear(message: ConsumeMessage | null): void {
    if (!message) return;
    const from = message.properties.replyTo as unknown;
    if (typeof from !== 'string' || from === this.inbox) return;
    let word: Word;
    try {
      word = JSON.parse(message.content.toString()) as Word;
    } catch {
      return;
    }
    // Whoever speaks lives.
    this.#meet(from);
    switch (word.kind) {
      case 'here':
        for (const peer of word.peers) if (peer !== this.inbox) this.#meet(peer);
        if (word.isAnswer) this.#greeted();
        else void this.#tell(from, { kind: 'here', peers: [...this.#peers], isAnswer: true }).catch(() => {});
        break;
      case 'again':
        if (word.master === this.#ports.master && word.incarnation === this.#ports.incarnation)
          this.#ports.replaced();
        break;
      case 'holder':
        this.#ports.holder(word.queue, word);
        break;
      case 'remake':
        this.#missed = this.#ports.missed().catch(() => {});
        break;
      case 'known':
        this.#ports.learn(word.queues);
        break;
      case 'ask':
        void this.#answer(from, word.number).catch(() => {});
        break;
      case 'answer': {
        const question = this.#questions.get(word.number);
        if (!question?.awaited.has(from)) break;
        question.found.push({ master: word.master, queues: word.queues });
        settle(question, from);
        break;
      }
    }
  }

  async #answer(inbox: string, number: number): Promise<void> {
    await this.#missed;
    const { master } = this.#ports;
    await this.#tell(inbox, { kind: 'answer', number, master, queues: this.#ports.known() });
  }

  #meet(peer: string): void {
    this.#peers.add(peer);
  }

  #greeted: () => void = () => {};

  /** Waits for the first who answers: it knows all others. */
  #welcome(timeoutMs: number): { done: Promise<void>; give: () => void } {
    const { clock } = this.#ports;
    let give!: () => void;
    let timer: Timer | undefined = undefined;
    const done = new Promise<void>((resolve) => {
      give = () => {
        clock.clearTimeout(timer);
        this.#greeted = () => {};
        resolve();
      };
      timer = clock.setTimeout(give, timeoutMs);
    });
    this.#greeted = give;
    return { done, give };
  }

  /** Whether anybody is there to hear it. */
  #say(word: Word): Promise<boolean> {
    return this.#direct.publish(this.#names.control, ALL, Buffer.from(JSON.stringify(word)), {
      replyTo: this.inbox,
    });
  }

  #tell(inbox: string, word: Word): Promise<boolean> {
    return this.#direct.send(inbox, Buffer.from(JSON.stringify(word)), { replyTo: this.inbox });
  }
}

function settle(question: Question, peer: string): void {
  if (question.awaited.delete(peer) && question.awaited.size === 0) question.done();
}
