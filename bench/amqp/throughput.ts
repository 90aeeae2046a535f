import type { Contender } from '../contender.js';
import { race } from '../race.js';
import { result, type Result } from '../result.js';
import { signalbox } from '../signalbox.js';
import { withRabbit } from './broker.js';
import { byHand } from './by-hand.js';
import { peers } from './peers.js';

const SECONDS_MAX = 300;

/**
 * Confirmed publish to handled, and acked if durable, in one process over one broker: signalbox, the same by hand, other
 * libraries.
 */
export async function run(): Promise<Result[]> {
  const durable = [
    signalbox('signalbox', 'consumer'),
    byHand({ name: 'amqplib by hand', durable: true, parsed: true }),
    byHand({ name: 'amqplib, bare buffers', durable: true, parsed: false }),
    ...peers,
  ];
  const transient = [
    signalbox('signalbox, transient', 'subscriber'),
    byHand({ name: 'amqplib by hand, transient', durable: false, parsed: true }),
    byHand({ name: 'amqplib, bare buffers, transient', durable: false, parsed: false }),
  ];
  const contenders = [...durable, ...transient];
  const rate = await withRabbit(SECONDS_MAX, ({ url }) => race({ url, contenders, until: 'handled' }));
  const ratios = ([ours, hand, bare]: readonly Contender[], kind: string) => [
    result(`${kind}: signalbox against amqplib by hand`, rate(ours!) / rate(hand!), 'times', {
      atLeast: 0.95,
    }),
    result(`${kind}: signalbox against amqplib with bare buffers`, rate(ours!) / rate(bare!), 'times'),
  ];
  return [
    ...ratios(durable, 'durable'),
    ...ratios(transient, 'transient'),
    ...contenders.map((contender) => result(contender.name, rate(contender), 'messages/s')),
  ];
}
