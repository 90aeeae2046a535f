/** What everything of a namespace is called at the server. No name of ours holds `=`, `@` or `~`. */
export class Names {
  /** The stream of all messages. */
  readonly events: string;
  /** The stream of what masters note: leases, checkpoints, names. */
  readonly records: string;
  /** The stream of dead letters, and of those that were put back. */
  readonly letters: string;
  /** Where masters announce what others may want to look at. */
  readonly announcements: string;
  readonly #root: string;

  constructor(namespace: string) {
    this.#root = plain(namespace);
    this.events = this.#root;
    this.records = `${this.#root}@records`;
    this.letters = `${this.#root}@letters`;
    this.announcements = `${this.#root}.told`;
  }

  get eventSubjects(): string {
    return `${this.#root}.ev.>`;
  }

  get recordSubjects(): string[] {
    return ['lease', 'checkpoint', 'master'].map((kind) => `${this.#root}.${kind}.*`);
  }

  get letterSubjects(): string[] {
    return [`${this.#root}.letter.*`, `${this.#root}.again.*`];
  }

  /** Before the words of a topic. */
  get eventPrefix(): string {
    return `${this.#root}.ev.`;
  }

  get leases(): string {
    return `${this.#root}.lease.*`;
  }

  lease(queue: string): string {
    return `${this.#root}.lease.${plain(queue)}`;
  }

  checkpoint(queue: string): string {
    return `${this.#root}.checkpoint.${plain(queue)}`;
  }

  get masters(): string {
    return `${this.#root}.master.*`;
  }

  master(master: string): string {
    return `${this.#root}.master.${plain(master)}`;
  }

  /** The dead letters of a queue. */
  letter(queue: string): string {
    return `${this.#root}.letter.${plain(queue)}`;
  }

  /** Letters that were put back into their queue. */
  again(queue: string): string {
    return `${this.#root}.again.${plain(queue)}`;
  }

  /** Where one session is asked. */
  session(id: string): string {
    return `${this.#root}.s.${id}`;
  }

  /** A consumer of a queue, which nobody else will make. */
  consumer(queue: string, id: string): string {
    return `${plain(queue)}@${id}`;
  }

  /** The consumer of letters that were put back into a shared queue: all its consumers take from it. */
  sharedAgain(queue: string): string {
    return this.consumer(queue, 'again');
  }

  /** Whether it is a consumer of that queue. */
  isOf(consumer: string, queue: string): boolean {
    return consumer.startsWith(`${plain(queue)}@`);
  }

  /** The name that a subject of ours ends with. */
  nameIn(subject: string): string {
    return subject.slice(subject.lastIndexOf('.') + 1).replaceAll('=', '.');
  }
}

/** A dot would split it in two words of a subject. */
function plain(name: string): string {
  return name.replaceAll('.', '=');
}
