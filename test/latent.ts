import type {
  Capabilities,
  Claim,
  ClaimSink,
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  DeadLetter,
  Delivery,
  LetterDetails,
  Ownership,
  QueueSpec,
  Session,
  TransientQueue,
  TransientSink,
} from '../src/backend.js';
import type { HubSession } from '../src/backends/hub/hub-session.js';
import { FencedError, SessionLostError, UnsupportedError } from '../src/model/errors.js';

/** What a broker lacks when it can do as little as the contract allows. */
export const LITTLE = { queueLimit: false, queueExpiry: false, exactHandBack: false } as const;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** One way of a connection: in order, and each word some turns later. */
class Wire {
  readonly #words: (() => void)[] = [];
  readonly #random: () => number;
  #busy = false;
  #isCut = false;

  constructor(random: () => number) {
    this.#random = random;
  }

  say(word: () => void): void {
    if (this.#isCut) return;
    this.#words.push(word);
    if (!this.#busy) void this.#carry();
  }

  /** What is under way is lost. */
  cut(): void {
    this.#isCut = true;
    this.#words.length = 0;
  }

  async #carry(): Promise<void> {
    this.#busy = true;
    while (this.#words.length > 0) {
      for (let turns = Math.floor(this.#random() * 3); turns > 0; turns--) await turn();
      const atOnce = 1 + Math.floor(this.#random() * 20);
      for (const word of this.#words.splice(0, atOnce)) word();
    }
    this.#busy = false;
  }
}

/** A session as a broker over a network has it: every call and every word to a sink takes its time. */
export class LatentSession implements Session {
  readonly capabilities: Capabilities;
  readonly closed: Promise<Error | undefined>;
  readonly #real: HubSession;
  readonly #random: () => number;
  readonly #there: Wire;
  readonly #back: Wire;
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #deliveries = new WeakMap<Delivery, Delivery>();
  readonly #ownerships = new WeakMap<Ownership, Ownership>();
  #settleClosed!: (reason: Error | undefined) => void;
  #hasEnded = false;

  constructor(real: HubSession, random: () => number, lacks: Partial<Capabilities>) {
    this.#real = real;
    this.#random = random;
    this.#there = new Wire(random);
    this.#back = new Wire(random);
    this.capabilities = { ...real.capabilities, ...lacks };
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    void real.closed.then((reason) => this.#end(reason));
  }

  publish(...args: Parameters<Session['publish']>): Promise<void> {
    const [envelope, fence] = args;
    return this.#call(() => this.#real.publish(envelope, this.#realOwnership(fence)));
  }

  async listen(sink: TransientSink): Promise<TransientQueue> {
    const queue = await this.#call(() =>
      this.#real.listen({
        message: (envelope) => this.#tell(() => sink.message(envelope)),
        missed: (count) => this.#tell(() => sink.missed(count)),
      }),
    );
    return {
      bind: (pattern) => this.#call(() => queue.bind(pattern)),
      unbind: (pattern) => this.#call(() => queue.unbind(pattern)),
      close: () => this.#callIfOpen(() => queue.close()),
    };
  }

  declareQueue(spec: QueueSpec): Promise<void> {
    return this.#call(() => {
      const { queueLimit, queueExpiry } = this.capabilities;
      if ((spec.limit && !queueLimit) || (spec.expiresMs !== undefined && !queueExpiry))
        throw new UnsupportedError('This broker has no such setting.');
      return this.#real.declareQueue(spec);
    });
  }

  findQueue(name: string): Promise<boolean> {
    return this.#call(() => this.#real.findQueue(name));
  }

  deleteQueue(name: string, options: { whileInUse: boolean }): Promise<void> {
    return this.#call(() => this.#real.deleteQueue(name, options));
  }

  queues(): ReturnType<Session['queues']> {
    return this.#call(() => this.#real.queues());
  }

  async claim(queue: string, sink: ClaimSink): Promise<Claim> {
    const claim = await this.#call(() =>
      this.#real.claim(queue, {
        granted: (ownership) => {
          const latent = this.#ownership(ownership);
          this.#tell(() => sink.granted(latent));
        },
        standby: (holder) => this.#tell(() => sink.standby(holder)),
        fenced: (reason) => this.#tell(() => sink.fenced(reason)),
        lost: (reason) => this.#tell(() => sink.lost(reason)),
        full: (waiting) => this.#tell(() => sink.full(waiting)),
      }),
    );
    return { withdraw: () => this.#callIfOpen(() => claim.withdraw()) };
  }

  async consume(queue: string, options: ConsumeOptions, sink: ConsumerSink): Promise<Consumer> {
    let isOpen = true;
    const ownership = this.#realOwnership(options.ownership);
    const consumer = await this.#call(() =>
      this.#real.consume(
        queue,
        { ...options, ownership },
        {
          delivery: (delivery) =>
            this.#tell(() => {
              if (isOpen) sink.delivery(this.#delivery(delivery));
            }),
          lost: (reason) => this.#tell(() => sink.lost(reason)),
        },
      ),
    );
    return {
      close: () => {
        isOpen = false;
        return this.#callIfOpen(() => consumer.close());
      },
    };
  }

  async *deadLetters(queue: string): AsyncIterable<DeadLetter> {
    const letters = await this.#call(async () => {
      const found: DeadLetter[] = [];
      for await (const letter of this.#real.deadLetters(queue)) found.push(letter);
      return found;
    });
    yield* letters;
  }

  redrive(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#call(() => this.#real.redrive(queue, ids));
  }

  dropDeadLetters(queue: string, ids: readonly string[] | undefined): Promise<number> {
    return this.#call(() => this.#real.dropDeadLetters(queue, ids));
  }

  async close(): Promise<void> {
    if (this.#hasEnded) return void (await this.closed);
    const closed = this.#call(() => this.#real.close());
    // Nothing is asked and nobody told any more; what was asked before is answered as far as it goes.
    this.#hasEnded = true;
    await closed.catch(() => {});
    this.#finish(undefined);
  }

  /** The connection breaks; the broker notices some turns later. */
  crash(): void {
    const reason = new Error('The connection broke.');
    this.#there.cut();
    this.#back.cut();
    this.#end(reason);
    void this.#noticed(reason);
  }

  async #noticed(reason: Error): Promise<void> {
    for (let turns = Math.floor(this.#random() * 4); turns > 0; turns--) await turn();
    this.#real.drop(reason);
  }

  #end(reason: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#finish(reason);
  }

  #finish(reason: Error | undefined): void {
    for (const reject of this.#waiting) reject(this.#lost());
    this.#waiting.clear();
    this.#settleClosed(reason);
  }

  #lost(): SessionLostError {
    return new SessionLostError('The session has ended.');
  }

  #call<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#hasEnded) return Promise.reject(this.#lost());
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject);
      const answer = (say: () => void) => {
        this.#back.say(() => {
          if (this.#waiting.delete(reject)) say();
        });
      };
      const asked = async () => ask();
      this.#there.say(
        () =>
          void asked().then(
            (value) => answer(() => resolve(value)),
            (error: unknown) => answer(() => reject(error)),
          ),
      );
    });
  }

  /** Whoever cleans up late has nothing left to do. */
  async #callIfOpen(ask: () => Promise<void>): Promise<void> {
    if (!this.#hasEnded) await this.#call(ask);
  }

  #tell(word: () => void): void {
    this.#back.say(() => {
      if (!this.#hasEnded) word();
    });
  }

  #delivery(real: Delivery): Delivery {
    const { envelope, redelivered, attempt, redrives } = real;
    const latent: Delivery = {
      envelope,
      redelivered,
      attempt,
      redrives,
      begin: (number) => this.#call(async () => real.begin(number)),
      cutOff: () => this.#there.say(() => real.cutOff()),
      ack: () => this.#there.say(() => real.ack()),
      reject: (letter: LetterDetails) => this.#call(() => real.reject(letter)),
    };
    this.#deliveries.set(latent, real);
    return latent;
  }

  #ownership(real: Ownership): Ownership {
    let isReleased = false;
    const { queue, queueId, epoch, checkpoint } = real;
    const latent: Ownership = {
      queue,
      queueId,
      epoch,
      checkpoint,
      valid: () => !this.#hasEnded && !isReleased && real.valid(),
      revalidate: () =>
        this.#hasEnded
          ? Promise.reject(new FencedError('The session has ended.'))
          : this.#call(() => real.revalidate()),
      bind: (patterns) => this.#call(() => real.bind(patterns)),
      save: (bytes, settled) =>
        this.#call(() =>
          real.save(
            bytes,
            settled.map((delivery) => this.#deliveries.get(delivery)!),
          ),
        ),
      release: () => {
        isReleased = true;
        return this.#callIfOpen(() => real.release());
      },
    };
    this.#ownerships.set(latent, real);
    return latent;
  }

  #realOwnership(latent: Ownership | undefined): Ownership | undefined {
    return latent && this.#ownerships.get(latent);
  }
}
