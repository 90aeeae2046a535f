import type { ConnectOptions, Session } from '../../backend.js';
import { SessionLostError } from '../../model/errors.js';
import type { Address } from './address.js';
import { connectError } from './api-errors.js';
import { Claims } from './claims.js';
import { Connection } from './connection.js';
import { Consuming } from './consuming.js';
import { StreamConsumers } from './consumers.js';
import { Control } from './control.js';
import type { NatsCredentials } from './credentials.js';
import { DurableQueues } from './durable-queues.js';
import { Inbox } from './inbox.js';
import { Letters } from './letters.js';
import { MasterName } from './master-name.js';
import { Masters } from './masters.js';
import { Names } from './names.js';
import { JetStreamOwnership } from './ownership.js';
import { Peers } from './peers.js';
import { Publisher } from './publisher.js';
import { Records } from './records.js';
import { JetStreamSession } from './session.js';
import { Settling } from './settling.js';
import { SignsOfLife } from './signs-of-life.js';
import { ensureStreams, type StreamSettings } from './streams.js';

/** A master that gives no answer is not waited for longer. */
const PATIENCE_MAX_MS = 2_000;

/** What all sessions of a backend have in common. */
export interface SessionSettings {
  readonly address: Address;
  readonly credentials: NatsCredentials;
  readonly tls: Parameters<typeof Connection.open>[0]['tls'];
  readonly streams: StreamSettings;
}

/** One attempt: the connection, the streams, the name of the master. */
export async function establish(settings: SessionSettings, wanted: ConnectOptions): Promise<Session> {
  const { namespace, master, ownerTimeoutMs, environment, signal } = wanted;
  const { address, credentials, tls, streams } = settings;
  const opened: Connection[] = [];
  const open = async (label: string) => {
    const connection = await Connection.open({
      address,
      credentials,
      tls,
      label: `${namespace}/${master}/${label}`,
      silenceMs: ownerTimeoutMs,
      clock: environment.clock,
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
    const connection = await open('data');
    const side = await open('control');
    await ensureStreams(side, new Names(namespace), streams);
    const session = await begin({ connection, side }, wanted);
    signal.throwIfAborted();
    return session;
  } catch (thrown) {
    const denied = opened.map((one) => one.denied).find((error) => error !== undefined);
    await Promise.all(opened.map((one) => one.close()));
    signal.throwIfAborted();
    throw connectError(denied ?? thrown, address.shown);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

/** `2.10` takes several filters for one consumer. */
function takesSeveral(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}

/** `side` is for what must not wait behind publishes: signs of life, leases, what masters tell each other. */
async function begin(
  { connection, side }: { readonly connection: Connection; readonly side: Connection },
  options: ConnectOptions,
): Promise<Session> {
  const { namespace, master, incarnation, environment, ownerTimeoutMs } = options;
  const { clock } = environment;
  const names = new Names(namespace);
  const id = environment.randomId();
  const inbox = new Inbox(connection);
  const questions = new Inbox(side);
  const records = new Records(side, questions, environment, names.records);
  const events = new StreamConsumers(side, names.events);
  const letterConsumers = new StreamConsumers(side, names.letters);
  const letters = new Letters({ connection, inbox, names, environment });
  const streamGone = () => session.drop(new SessionLostError('The stream was deleted.'));
  const control: Control = new Control({
    connection: side,
    inbox: questions,
    names,
    clock,
    session: id,
    master,
    incarnation,
    patienceMs: Math.min(ownerTimeoutMs, PATIENCE_MAX_MS),
    known: () => session.known(),
    look: (queue) => consuming.look(queue),
    announced: (announcement) => session.announced(announcement),
    replaced: () => session.drop(new SessionLostError('The same master has connected again.')),
  });
  const masters = new Masters({ records, control, names });
  const signs: SignsOfLife = new SignsOfLife({
    clock,
    idleMs: ownerTimeoutMs / 3,
    ask: (answered) => {
      if (side.isOpen) control.ask(id, { alive: answered, gone: () => {} });
    },
    ownerTimeoutMs,
    silent: () => session.drop(new SessionLostError('The server gives no answer.')),
    resumed: () => claims.look(),
  });
  const peers = new Peers({ control, records, names, clock });
  const several = takesSeveral(connection.version);
  const publisher = new Publisher({
    connection,
    inbox,
    environment,
    prefix: names.eventPrefix,
    stream: names.events,
    session: id,
    isHeld: (ownership) => ownership instanceof JetStreamOwnership && ownership.isHeld,
    streamGone,
  });
  const queues = new DurableQueues({
    records,
    events,
    letterConsumers,
    letters,
    masters,
    control,
    names,
    environment,
  });
  const isLive = () => session.isLive;
  const suspect = () => publisher.look();
  const lastSequence = async () => (await side.api((jsm) => jsm.streams.info(names.events))).state.last_seq;
  const consuming: Consuming = new Consuming({
    lastSequence,
    connection,
    inbox,
    environment,
    names,
    queues,
    events,
    letterConsumers,
    letters,
    ownerTimeoutMs,
    isLive,
    claimOf: (ownership) => claims.of(ownership),
    suspect,
  });
  const claims: Claims = new Claims({
    connection,
    control,
    masters,
    peers,
    records,
    events,
    letters: letterConsumers,
    mail: letters,
    names,
    environment,
    several,
    maxPayload: connection.maxPayload,
    master,
    session: id,
    incarnation,
    ownerTimeoutMs,
    server: side.serverId,
    signs,
    isLive,
    suspect,
    renew: async () => name?.renew(),
    lastSequence,
    consumerOf: (ownership) => consuming.of(ownership),
  });
  const session: JetStreamSession = new JetStreamSession({
    options,
    names,
    connection,
    side,
    control,
    masters,
    signs,
    peers,
    settling: new Settling(connection, () => masters.echo(id)),
    publisher,
    queues,
    letters,
    events,
    letterConsumers,
    claims,
    consuming,
  });
  // What the server has processed of the subscriptions by then, others can ask.
  await side.flush();
  const name: MasterName | undefined = await MasterName.take({
    records,
    control,
    names,
    clock,
    master,
    incarnation,
    session: id,
    ownerTimeoutMs,
    renewed: (sentAt) => signs.renewed(sentAt),
    lost: () => session.drop(new SessionLostError('Somebody else has the name of this master now.')),
  });
  session.named(name);
  signs.start();
  return session;
}
