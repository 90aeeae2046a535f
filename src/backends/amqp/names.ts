import { NameError } from '../../model/errors.js';

/** AMQP's limit of a name, in bytes; ours are ASCII. */
const NAME_MAX = 255;

/** What everything of a namespace is called at the broker. */
export class Names {
  /** Where messages are published. */
  readonly events: string;
  /** What masters tell each other. */
  readonly control: string;
  /** Says that the exchange has all its bindings. */
  readonly whole: string;
  readonly #prefix: string;

  constructor(namespace: string) {
    // A dot would let one namespace reach into another: "a" with queue "q.b", "a.q" with queue "b".
    this.#prefix = namespace.replaceAll('.', '%2E');
    this.events = this.#name('events');
    this.control = this.#name('control');
    this.whole = this.#name('whole');
  }

  /** What a durable queue's messages wait in. */
  work(queue: string): string {
    return this.#name(`q.${queue}`);
  }

  /** Its token queue: who owns it, and its record. */
  tokens(queue: string): string {
    return this.#name(`t.${queue}`);
  }

  /** Its dead letters. */
  letters(queue: string): string {
    return this.#name(`d.${queue}`);
  }

  /** Held by the living master of that name. */
  master(master: string): string {
    return this.#name(`m.${master}`);
  }

  /** Says which of its incarnations holds it. */
  incarnation(master: string, incarnation: string): string {
    return this.#name(`m.${master}~${incarnation}`);
  }

  /** Of one session, and gone with it: the control inbox, a transient queue. */
  ofSession(kind: 'inbox' | 'transient', id: string): string {
    return this.#name(`${kind === 'inbox' ? 'i' : 'e'}.${id}`);
  }

  #name(rest: string): string {
    const name = `${this.#prefix}.${rest}`;
    if (name.length <= NAME_MAX) return name;
    throw new NameError(
      `"${name.slice(0, 100)}…" would be ${name.length} bytes long at the broker, more than ${NAME_MAX}. ` +
        'Use a shorter name, or a shorter namespace.',
    );
  }
}
