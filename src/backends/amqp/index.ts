import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Backend, ConnectOptions, Session } from '../../backend.js';
import { BrokerUrlError, isRetryable, SessionLostError } from '../../model/errors.js';
import { parseAddress, type Address } from './address.js';
import { connectError } from './broker-errors.js';
import { Connection } from './connection.js';
import { Control } from './control.js';
import { Direct } from './direct.js';
import { DurableQueues } from './durable-queues.js';
import { Letters } from './letters.js';
import { MasterName } from './master-name.js';
import { Names } from './names.js';
import { AmqpSession } from './session.js';

export interface AmqpBackendOptions {
  /** Of `amqps:`: certificates and the like, as `node:tls` takes them. */
  readonly tls?: TlsOptions;
}

/** A master that gives no answer is not waited for longer. */
const PATIENCE_MAX_MS = 2_000;

/**
 * RabbitMQ, 3.10 or later. Several URLs are of one broker: nodes of a cluster, tried in turn. `ownerTimeoutMs` is a multiple of
 * 2,000: half of it is the heartbeat, in whole seconds.
 */
export function amqpBackend(urls: string | readonly string[], options: AmqpBackendOptions = {}): Backend {
  const addresses = (typeof urls === 'string' ? [urls] : urls).map(parseAddress);
  if (addresses.length === 0) throw new BrokerUrlError('A list of broker URLs holds at least one.');
  let next = 0;
  return {
    name: addresses.map(({ shown }) => shown).join(', '),
    async connect(wanted: ConnectOptions): Promise<Session> {
      for (let tried = 1; ; tried++) {
        const address = addresses[next % addresses.length]!;
        try {
          return await establish(address, options.tls ?? {}, wanted);
        } catch (error) {
          next++;
          if (tried === addresses.length || !isRetryable(error) || wanted.signal.aborted) throw error;
        }
      }
    },
  };
}

async function establish(address: Address, tls: object, wanted: ConnectOptions): Promise<Session> {
  const { namespace, master, ownerTimeoutMs, signal } = wanted;
  const names = new Names(namespace);
  const heartbeatSeconds = Math.max(1, Math.round(ownerTimeoutMs / 2_000));
  const opened: Connection[] = [];
  const open = async (label: string) => {
    const connection = await Connection.open({
      address,
      heartbeatSeconds,
      label: `${namespace}/${master}/${label}`,
      tls,
      signal,
    });
    opened.push(connection);
    return connection;
  };
  const giveUp = () => {
    for (const connection of opened) connection.drop(new Error('The attempt was given up.'));
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    const consuming = await open('consume');
    const publishing = await open('publish');
    const session = await begin({ consuming, publishing }, names, heartbeatSeconds * 1_000, wanted);
    signal.throwIfAborted();
    return session;
  } catch (thrown) {
    await Promise.all(opened.map((connection) => connection.close()));
    signal.throwIfAborted();
    throw connectError(thrown, address.shown);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

async function begin(
  connections: { readonly consuming: Connection; readonly publishing: Connection },
  names: Names,
  heartbeatMs: number,
  options: ConnectOptions,
): Promise<Session> {
  const { consuming, publishing } = connections;
  const { master, incarnation, environment, ownerTimeoutMs } = options;
  const { clock, randomId } = environment;
  await publishing.with(async (channel) => {
    await channel.assertExchange(names.events, 'topic', { durable: true });
    await channel.assertExchange(names.control, 'topic', { durable: true });
  });
  const events = await publishing.confirmChannel();
  const direct = await Direct.open(publishing);
  const queues = new DurableQueues(consuming, names);
  const letters = new Letters({ connection: consuming, direct, queues, names, environment });
  const control: Control = new Control(names, randomId(), direct, {
    master,
    incarnation,
    clock,
    patienceMs: Math.min(ownerTimeoutMs, PATIENCE_MAX_MS),
    known: () => session.known(),
    learn: (known) => session.learn(known),
    holder: (queue, holder) => session.heardOf(queue, holder),
    replaced: () => session.drop(new SessionLostError('The same master has connected again.')),
  });
  const session = new AmqpSession({
    options,
    heartbeatMs,
    names,
    consuming,
    publishing,
    events,
    direct,
    control,
    queues,
    letters,
  });
  await control.open(consuming);
  const name = await MasterName.take({
    connection: consuming,
    names,
    master,
    incarnation,
    clock,
    retryMs: heartbeatMs,
    replace: () => control.replace(),
  });
  session.named(name);
  for (const { queues: known } of await control.ask()) session.learn(known);
  return session;
}
