import { WINDOW, type Contender, type Running } from './contender.js';
import { median } from './result.js';

const ROUNDS = 3;
const WARM_UP = 1_000;
/** How long one measurement takes: the slow send fewer messages. */
const SECONDS = 1.5;
const COUNT_MAX = 20_000;
/** 512 bytes with its JSON around it. */
const DATA = { line: 'x'.repeat(512 - 11) };

export interface Race {
  readonly url: string;
  readonly contenders: readonly Contender[];
  /** What a message has come to when it counts: its handler was called, or the broker has confirmed it. */
  readonly until: 'handled' | 'confirmed';
}

/**
 * The median of each contender's messages a second. A round has all of them, one after the other, every other round in the
 * opposite order; the first one warms up.
 */
export async function race({ url, contenders, until }: Race): Promise<(contender: Contender) => number> {
  const found = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]));
  for (let round = 0; round <= ROUNDS; round++)
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const rate = await rateOf(contender, url, until);
      console.error(`${contender.name}: ${rate.toFixed(0)}/s${round === 0 ? ' (warming up)' : ''}`);
      if (round > 0) found.get(contender)!.push(rate);
    }
  return (contender) => median(found.get(contender)!);
}

/** From the first publish until the last confirm is here, and the last message is handled if that is asked for. */
async function rateOf(contender: Contender, url: string, until: Race['until']): Promise<number> {
  const running = await contender.open(url);
  try {
    const warm = WARM_UP / (await pass(running, WARM_UP, until));
    const count = Math.round(Math.min(COUNT_MAX, Math.max(WARM_UP, warm * SECONDS)));
    return count / (await pass(running, count, until));
  } finally {
    await running.close();
  }
}

/** How many seconds so many took. */
async function pass(running: Running, count: number, until: Race['until']): Promise<number> {
  const begun = performance.now();
  let left = count;
  const handled = new Promise<void>((resolve) => {
    running.handled = () => {
      if (--left === 0) resolve();
    };
  });
  const inFlight: Promise<unknown>[] = [];
  for (let sent = 0; sent < count; sent++) {
    inFlight.push(running.publish(DATA));
    // A sliding window: a place is free again as soon as its publish is confirmed.
    if (inFlight.length >= WINDOW) await inFlight[inFlight.length - WINDOW];
  }
  await Promise.all(inFlight);
  if (until === 'handled') await handled;
  return (performance.now() - begun) / 1_000;
}
