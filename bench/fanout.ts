import { createMaster } from '../src/index.js';
import { median } from './result.js';

const SUBSCRIBERS = 1_000;
const PATTERNS = 10;
const ROUNDS = 3;
export const DATA = { builder: 'linux', line: 'x'.repeat(450) };

export type Handler = (data: unknown) => Promise<void>;

/** A way to have very many transient subscribers. */
export interface Way {
  subscribe(pattern: string, handler: Handler): Promise<void>;
  /** Resolves when the broker has confirmed it. */
  publish(topic: string): Promise<unknown>;
  close(): Promise<void>;
}

export interface Crowd {
  readonly name: string;
  readonly open: () => Promise<Way>;
  /** Among the subscribers. */
  readonly patterns?: number;
  readonly messages: number;
}

/** A second. */
export interface Figures {
  readonly subscribes: number;
  readonly messages: number;
}

/**
 * The medians of each crowd, whose handlers are asynchronous and get parsed data: 100 of 1,000 subscribers match each
 * message when there are 10 patterns. A round has all crowds, every other round in the opposite order; the first warms up.
 */
export async function measureCrowds(crowds: readonly Crowd[]): Promise<Figures[]> {
  const found = crowds.map((): Figures[] => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const entries = [...crowds.entries()];
    for (const [number, crowd] of round % 2 === 0 ? entries : entries.toReversed()) {
      const figures = await measure(crowd);
      const { subscribes, messages } = figures;
      const warming = round === 0 ? ' (warming up)' : '';
      console.error(
        `${crowd.name}: ${subscribes.toFixed(0)} subscribes/s, ${messages.toFixed(0)} messages/s${warming}`,
      );
      if (round > 0) found[number]!.push(figures);
    }
  }
  return found.map((all) => ({
    subscribes: median(all.map(({ subscribes }) => subscribes)),
    messages: median(all.map(({ messages }) => messages)),
  }));
}

async function measure({ open, patterns = PATTERNS, messages }: Crowd): Promise<Figures> {
  const way = await open();
  try {
    let calls = 0;
    let wanted = Infinity;
    let done = () => {};
    const handler: Handler = async () => {
      await Promise.resolve();
      if (++calls === wanted) done();
    };
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: SUBSCRIBERS }, (_, number) =>
        way.subscribe(`builds.${number % patterns}.*`, handler),
      ),
    );
    const subscribes = SUBSCRIBERS / ((performance.now() - begun) / 1_000);
    wanted = messages * (SUBSCRIBERS / patterns);
    const handled = new Promise<void>((resolve) => (done = resolve));
    const from = performance.now();
    const inFlight: Promise<unknown>[] = [];
    for (let number = 0; number < messages; number++) {
      inFlight.push(way.publish(`builds.${number % patterns}.log`));
      if (inFlight.length >= 100) await inFlight[inFlight.length - 100];
    }
    await handled;
    const rate = messages / ((performance.now() - from) / 1_000);
    await Promise.all(inFlight);
    return { subscribes, messages: rate };
  } finally {
    await way.close();
  }
}

export async function signalbox(broker: string): Promise<Way> {
  const master = await createMaster({ name: 'bench', broker });
  return {
    subscribe: async (pattern, handler) => {
      const options = { mailbox: { limit: 100_000 } };
      await master.subscribe(pattern, options, ({ data }) => handler(data));
    },
    publish: (topic) => master.publish(topic, DATA),
    close: () => master.stop(),
  };
}
