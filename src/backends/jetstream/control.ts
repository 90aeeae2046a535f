import { createInbox, type Msg } from '@nats-io/transport-node';
import type { Clock, Timer } from '../../model/clock.js';
import type { Connection } from './connection.js';
import { isNobody, type Inbox } from './inbox.js';
import type { Names } from './names.js';

/** What a master has to do with a durable queue. */
export interface KnownQueue {
  readonly name: string;
  readonly owns: boolean;
  readonly isStandby: boolean;
  readonly consumes: boolean;
}

/** What masters ask each other; an empty question only asks whether somebody is there. */
type Word =
  | { readonly kind: 'known' }
  | { readonly kind: 'echo'; readonly to: string }
  | { readonly kind: 'look'; readonly queue: string }
  | { readonly kind: 'replaced'; readonly incarnation: string };

/** What is told to everybody. */
export interface Announcement {
  /** Its lease has changed, or it is gone, or letters were put back. */
  readonly queue: string;
  readonly what: 'lease' | 'again';
}

export interface Known {
  readonly master: string;
  readonly session: string;
  readonly queues: readonly KnownQueue[];
}

export interface ControlPorts {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly names: Names;
  readonly clock: Clock;
  readonly session: string;
  readonly master: string;
  readonly incarnation: string;
  /** A master that is silent for so long is not waited for. */
  readonly patienceMs: number;
  readonly known: () => KnownQueue[];
  /** Resolves when what is consumed of that queue follows its lease as it is now. */
  readonly look: (queue: string) => Promise<void>;
  readonly announced: (announcement: Announcement) => void;
  /** The same master has connected again. */
  readonly replaced: () => void;
}

/** What masters tell each other: who is there, who has to do with which queue, and that something has changed. */
export class Control {
  readonly #ports: ControlPorts;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
    const { connection, names, session } = ports;
    connection.subscribe(names.session(session), (message) => this.#hear(message));
    connection.subscribe(names.announcements, (message) => {
      const { queue, what } = (read(message) ?? {}) as Partial<Announcement>;
      if (typeof queue === 'string' && (what === 'lease' || what === 'again'))
        ports.announced({ queue, what });
    });
  }

  announce(announcement: Announcement): void {
    const { connection, names } = this.#ports;
    if (connection.isOpen) connection.publish(names.announcements, JSON.stringify(announcement));
  }

  /** Asks a session whether it is there: `alive` or `gone`, or no word. */
  ask(session: string, told: { alive(): void; gone(): void }): string {
    const { inbox, names } = this.#ports;
    const token: string = inbox.ask(names.session(session), '', {
      answered: (message) => {
        inbox.forget(token);
        if (isNobody(message)) told.gone();
        else told.alive();
      },
    });
    return token;
  }

  replace(session: string): void {
    const { incarnation, connection, names } = this.#ports;
    const word: Word = { kind: 'replaced', incarnation };
    connection.publish(names.session(session), JSON.stringify(word));
  }

  /** What these sessions know; those that are gone or silent are left out. */
  async known(sessions: readonly string[], gone: (session: string) => void): Promise<Known[]> {
    const word: Word = { kind: 'known' };
    const answers = await this.#askAll(sessions, JSON.stringify(word), gone);
    return answers.flatMap(knownOf);
  }

  /** Resolves when all these sessions follow the lease of a queue as it is now; one that is silent is not waited for. */
  async look(sessions: readonly string[], queue: string): Promise<void> {
    const word: Word = { kind: 'look', queue };
    await this.#askAll(sessions, JSON.stringify(word), () => {});
  }

  /**
   * Resolves when what this session has subscribed is known to the servers of all these sessions, as far as they are there. Each
   * of them sends a word to a place that was subscribed later.
   */
  async echo(sessions: readonly string[]): Promise<void> {
    const { inbox, connection, clock, names, patienceMs } = this.#ports;
    const deadline = clock.now() + patienceMs;
    const awaited = new Set(sessions);
    const place = createInbox();
    const heard = connection.subscribe(place, (message) => {
      awaited.delete(Buffer.from(message.data).toString());
    });
    const word: Word = { kind: 'echo', to: place };
    try {
      while (awaited.size > 0 && clock.now() < deadline) {
        for (const session of awaited) {
          const token: string = inbox.ask(names.session(session), JSON.stringify(word), {
            answered: (message) => {
              inbox.forget(token);
              if (isNobody(message)) awaited.delete(session);
            },
          });
        }
        await connection.flush();
        if (awaited.size > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, 5));
      }
    } finally {
      heard.unsubscribe();
    }
  }

  #askAll(sessions: readonly string[], question: string, gone: (session: string) => void): Promise<Msg[]> {
    const { inbox, connection, clock, names, patienceMs } = this.#ports;
    const answers: Msg[] = [];
    if (sessions.length === 0) return Promise.resolve(answers);
    return new Promise((resolve, reject) => {
      let left = sessions.length;
      const tokens: string[] = [];
      const finish = () => {
        clock.clearTimeout(timer);
        offEnd();
        for (const token of tokens) inbox.forget(token);
        if (connection.isOpen) resolve(answers);
        else reject(connection.lostError());
      };
      const timer: Timer = clock.setTimeout(finish, patienceMs);
      const offEnd = connection.onEnd(finish);
      for (const session of sessions) {
        const token: string = inbox.ask(names.session(session), question, {
          answered: (message) => {
            inbox.forget(token);
            if (isNobody(message)) gone(session);
            else answers.push(message);
            if (--left === 0) finish();
          },
        });
        tokens.push(token);
      }
    });
  }

  #hear(message: Msg): void {
    const { connection, session, master, incarnation } = this.#ports;
    if (message.data.length === 0) return this.#answer(message, '');
    const word = (read(message) ?? {}) as Partial<Word>;
    switch (word.kind) {
      case 'known': {
        const known: Known = { master, session, queues: this.#ports.known() };
        return this.#answer(message, JSON.stringify(known));
      }
      case 'echo':
        if (typeof word.to === 'string' && /^[!-~]+$/.test(word.to)) connection.publish(word.to, session);
        return this.#answer(message, '');
      case 'look':
        void this.#ports
          .look(word.queue ?? '')
          .catch(() => {})
          .then(() => this.#answer(message, ''));
        return undefined;
      case 'replaced':
        if (word.incarnation === incarnation) this.#ports.replaced();
        return undefined;
      case undefined:
        return undefined;
    }
  }

  #answer(message: Msg, answer: string): void {
    const { connection } = this.#ports;
    if (message.reply && connection.isOpen) connection.publish(message.reply, answer);
  }
}

/** Undefined for what is no JSON; whoever uses it looks whether it is what it should be. */
function read(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined;
  }
}

function knownOf(message: Msg): Known[] {
  const { master, session, queues } = (read(message) ?? {}) as Partial<Known>;
  if (typeof master !== 'string' || typeof session !== 'string' || !Array.isArray(queues)) return [];
  return [{ master, session, queues }];
}
