import type { ConnectOptions, Session } from '../../backend.js';
import { QueueNotFoundError, SessionLostError } from '../../model/errors.js';
import type { Address } from './address.js';
import { connectError } from './broker-errors.js';
import { Connection } from './connection.js';
import { Control } from './control.js';
import { Direct } from './direct.js';
import { DurableQueues } from './durable-queues.js';
import { EventsExchange } from './exchange.js';
import type { KnownQueues } from './known-queues.js';
import { Letters } from './letters.js';
import { MasterName } from './master-name.js';
import { Names } from './names.js';
import { Publisher } from './publisher.js';
import { AmqpSession, type SessionParts } from './session.js';

/** A master that gives no answer is not waited for longer. */
const PATIENCE_MAX_MS = 2_000;

/** What all sessions of a backend have in common. */
export interface SessionSettings {
  readonly tls: object;
  readonly consumerTimeoutMs: number;
  readonly known: KnownQueues;
}

/** One attempt: two connections, the exchanges, the name of the master, and what the others know. */
export async function establish(
  address: Address,
  { tls, consumerTimeoutMs, known }: SessionSettings,
  wanted: ConnectOptions,
): Promise<Session> {
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
      wasThere: known.hasHadSession,
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
    const session = await begin(
      { consuming, publishing },
      { names, heartbeatMs: heartbeatSeconds * 1_000, consumerTimeoutMs, known },
      wanted,
    );
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
  settings: Pick<SessionParts, 'names' | 'heartbeatMs' | 'consumerTimeoutMs' | 'known'>,
  options: ConnectOptions,
): Promise<Session> {
  const { consuming, publishing } = connections;
  const { names, heartbeatMs, known } = settings;
  const { master, incarnation, environment, ownerTimeoutMs } = options;
  const { clock, randomId } = environment;
  await publishing.with((channel) => channel.assertExchange(names.control, 'topic', { durable: true }));
  const events = await Publisher.open(publishing, names.events);
  const direct = await Direct.open(publishing);
  const exchangeGone = () => session.drop(new SessionLostError('The exchange was deleted.'));
  const queues: DurableQueues = new DurableQueues(consuming, names, exchangeGone);
  const letters = new Letters({ connection: consuming, direct, queues, names, environment });
  const control: Control = new Control(names, randomId(), direct, {
    master,
    incarnation,
    clock,
    patienceMs: Math.min(ownerTimeoutMs, PATIENCE_MAX_MS),
    known: () => session.known(),
    learn: (told) => known.learn(told),
    holder: (queue, holder) => session.heardOf(queue, holder),
    missed: async () => {
      if (isReady && !(await exchange.isWhole())) exchangeGone();
    },
    replaced: () => session.drop(new SessionLostError('The same master has connected again.')),
  });
  let isReady = false;
  const exchange = new EventsExchange({
    connection: publishing,
    names,
    clock,
    endOthers: () => control.endOthers(),
    bindAll: async () => {
      for (const queue of known.names)
        await queues.bind(queue, known.bindings(queue)).catch((error: unknown) => {
          if (!(error instanceof QueueNotFoundError)) throw error;
          known.forget(queue);
        });
    },
  });
  const session = new AmqpSession({
    options,
    ...settings,
    consuming,
    publishing,
    events,
    direct,
    control,
    queues,
    letters,
  });
  try {
    await settleIn();
  } catch (thrown) {
    await new Promise<void>((resolve) => clock.setTimeout(resolve, 0));
    // If the broker has refused something, that has ended the session, and says more.
    throw (session.isLive ? undefined : await session.closed) ?? thrown;
  }
  known.hasHadSession = true;
  return session;

  async function settleIn(): Promise<void> {
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
    for (const { queues: told } of await control.ask()) known.learn(told);
    await exchange.ensure();
    isReady = true;
  }
}
