import { Tally } from '../../src/flow/tally.js';
import type {
  Consumer,
  ConsumerSink,
  Delivery,
  LetterDetails,
  Ownership,
  Session,
} from '../../src/backend.js';
import type { Publish } from '../../src/flow/handler.js';
import { Hold } from '../../src/flow/hold.js';
import type { PumpSettings } from '../../src/flow/pump-ports.js';
import { Setbacks } from '../../src/flow/setbacks.js';
import { Turns } from '../../src/flow/turns.js';
import { DuplicateFilter } from '../../src/model/duplicates.js';
import { FencedError } from '../../src/model/errors.js';
import { Payload } from '../../src/model/payload.js';
import type { Handler } from '../../src/index.js';
import { SeenEpochs } from '../../src/model/seen-epochs.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

/** An ownership in the hands of a test. */
export class FakeOwnership implements Ownership {
  readonly queue = 'q';
  readonly queueId = 'id';
  readonly epoch = 7;
  readonly checkpoint = undefined;
  state: 'valid' | 'lapsed' | 'ended' = 'valid';
  asked = 0;
  #answers: { resolve: () => void; reject: (error: Error) => void }[] = [];

  valid(): boolean {
    return this.state === 'valid';
  }

  revalidate(): Promise<void> {
    this.asked++;
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  }

  /** The broker answers those who have asked. */
  answer(state: 'valid' | 'ended'): void {
    this.state = state;
    for (const { resolve, reject } of this.#answers.splice(0))
      if (state === 'valid') resolve();
      else reject(new FencedError('It has another owner.'));
  }

  bind = () => Promise.resolve();
  save = () => Promise.resolve();
  release = () => Promise.resolve();
}

export interface FakeDelivery {
  readonly data?: unknown;
  readonly attempt?: number;
  readonly redelivered?: boolean;
  readonly sequence?: number;
  /** What `begin` and `reject` return. */
  readonly begin?: () => Promise<void> | undefined;
  readonly reject?: () => Promise<void>;
  readonly body?: string;
  readonly fence?: { readonly queue: string; readonly epoch: number };
}

/** A hold on a broker that does what the test says; what the broker is told is in `said`. */
export class HoldLab {
  readonly environment: ReturnType<typeof virtualEnvironment>;
  readonly ownership = new FakeOwnership();
  readonly said: string[] = [];
  readonly reported: string[] = [];
  readonly letters: LetterDetails[] = [];
  /** What steps of the hold threw: faults of ours. */
  readonly broken: unknown[] = [];
  readonly duplicates = new DuplicateFilter({ producerMemoryMs: 60_000 });
  readonly fences: (Ownership | undefined)[] = [];
  readonly setbacks: Setbacks;
  readonly hold: Hold;
  #sink!: ConsumerSink;
  #sequence = 0;

  constructor(handler: Handler, settings: Partial<PumpSettings> = {}, before?: HoldLab) {
    this.environment = before?.environment ?? virtualEnvironment();
    this.setbacks = before?.setbacks ?? new Setbacks(10);
    const { environment } = this;
    const consumer: Consumer = { close: async () => void this.said.push('close') };
    const session = {
      consume: async (_: string, __: unknown, sink: ConsumerSink) => {
        this.#sink = sink;
        return consumer;
      },
    } as unknown as Session;
    const publish: Publish = async () => ({ id: 'x-1', outcome: 'confirmed' });
    this.hold = new Hold(
      session,
      this.ownership,
      { duplicates: this.duplicates, epochs: new SeenEpochs(), setbacks: this.setbacks },
      {
        queue: 'q',
        concurrency: 1,
        prefetch: 10,
        onFailure: 'block',
        orderBy: undefined,
        retry: { attemptsMax: 3, minDelayMs: 100, maxDelayMs: 100 },
        handlerTimeoutMs: 1_000,
        drainTimeoutMs: 500,
        producerMemoryMs: 60_000,
        ...settings,
      },
      handler,
      {
        environment: { ...environment, random: () => 0.5 },
        tally: new Tally(),
        turns: new Turns(environment.clock, (error) => this.broken.push(error)),
        master: 'm',
        catalogue: undefined,
        publish: (fence) => {
          this.fences.push(fence);
          return publish;
        },
      },
      {
        failed: (delivery, attempt, error) =>
          this.reported.push(`failed ${dataOf(delivery)} ${attempt} ${error.message}`),
        buried: (delivery, { reason, attempts }) =>
          this.reported.push(`buried ${nameOf(delivery)} ${reason} ${attempts}`),
        refused: (delivery, error) => this.reported.push(`refused ${nameOf(delivery)} ${error.message}`),
        stuck: (delivery) => this.reported.push(`stuck ${dataOf(delivery)}`),
        former: (delivery) => this.reported.push(`former ${dataOf(delivery)}`),
        lost: (reason) => this.reported.push(`lost ${reason.message}`),
      },
    );
  }

  async begin(): Promise<this> {
    await this.hold.begin();
    return this;
  }

  /** The broker hands over a message. */
  deliver(data: unknown, options: FakeDelivery = {}): void {
    const { attempt = 1, redelivered = false, sequence = ++this.#sequence, body } = options;
    const say = (word: string) => void this.said.push(`${word} ${String(data)}`);
    const id = `p-${sequence}`;
    const delivery: Delivery = {
      envelope: {
        id,
        topic: 'a',
        time: 0,
        source: 'signalbox:ns/p',
        headers: {},
        payload: body === undefined ? Payload.of(data, { maxBytes: 1_000 }) : Payload.decode(body, undefined),
        origin: { producer: 'p', sequence, open: [[1, Infinity]] },
        resent: false,
        fence: options.fence,
      },
      redelivered,
      attempt,
      redrives: 0,
      begin: (number) => {
        say(`begin ${number} of`);
        return options.begin?.();
      },
      cutOff: () => say('cut off'),
      ack: () => say('ack'),
      reject: (letter: LetterDetails) => {
        say(`reject for ${letter.reason}`);
        this.letters.push(letter);
        return options.reject?.() ?? Promise.resolve();
      },
    };
    this.#sink.delivery(delivery);
  }

  lose(reason: Error): void {
    this.#sink.lost(reason);
  }

  /** Lets virtual time pass, and everything settle. */
  pass(ms = 0): Promise<void> {
    return this.environment.clock.advance(ms);
  }

  /** What the broker was told since the last look, without what only begins. */
  news(): string[] {
    return this.said.splice(0).filter((word) => !word.startsWith('begin'));
  }
}

function dataOf({ envelope }: Delivery): string {
  return String(envelope.payload.value());
}

function nameOf({ envelope }: Delivery): string {
  return envelope.id;
}
