import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Backend, ConnectOptions, Session } from '../src/backend.js';
import type { HubSession } from '../src/backends/hub/hub-session.js';
import { memoryBackend } from '../src/backends/memory/index.js';
import { createMaster, type Master, type MasterOptions } from '../src/index.js';
import { EVENT_NAMES } from '../src/master/events.js';
import { systemEnvironment } from '../src/model/clock.js';
import { AccessError, ConnectError, FencedError, QueueSettingsError } from '../src/model/errors.js';
import { eventually, rejection } from './eventually.js';

const SECRET = 'hunter2';
const URL = `amqp://guest:${SECRET}@broker.example/vhost`;

/** As client libraries write them. */
function telling<T extends Error>(error: T): T {
  error.message += ` (${URL})`;
  error.stack = `${error.name}: ${error.message}\n    at connect (${URL})`;
  return Object.assign(error, { url: URL, cause: new Error(`getaddrinfo ENOTFOUND ${URL}`) });
}

const passing = () => telling(new ConnectError('Not now.'));
const final = () => telling(new QueueSettingsError('Never.'));

/** Everything that a master shows: events, what an inspector sees, snapshots of every actor, and what calls reject with. */
class Witness {
  readonly seen: string[] = [];

  show(what: string, thing: unknown): void {
    this.seen.push(`${what}: ${written(thing)}`);
  }

  readonly inspect = (event: object): void => {
    const { type, event: inner, snapshot } = event as { type: string; event?: unknown; snapshot?: object };
    this.show(`inspector ${type}`, inner);
    if (snapshot) this.#showSnapshot(`snapshot ${type}`, snapshot);
  };

  watch(master: Master): void {
    for (const name of EVENT_NAMES)
      master.on(name, (event) => this.show(`event ${name}`, { ...event, subscription: undefined }));
  }

  async refused(what: string, call: Promise<unknown>): Promise<void> {
    this.show(what, await rejection(call));
  }

  #showSnapshot(what: string, snapshot: object): void {
    const { status, value, context, error, output } = snapshot as Record<string, unknown>;
    this.show(what, { status, value, context, error, output });
  }
}

/** As JSON, errors with all that they have. Actors and their logic are not data: what they tell is seen on its own. */
function written(thing: unknown): string {
  const seen = new Set<unknown>();
  return JSON.stringify(thing, (key, value: unknown) => {
    if (['ref', 'logic', 'self', 'actorRef', 'src'].includes(key) || typeof value === 'function')
      return undefined;
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return 'again';
    seen.add(value);
    if (!(value instanceof Error)) return value;
    const names = ['name', ...Object.getOwnPropertyNames(value)];
    return Object.fromEntries(names.map((name) => [name, value[name as keyof Error]]));
  });
}

const masters: Master[] = [];
afterEach(async () => {
  await Promise.all(masters.splice(0).map((master) => master.stop()));
});

/** A master on a hub that tells its URL with whatever goes wrong. */
async function witnessed(
  tamper: (session: HubSession, options: ConnectOptions) => void,
  connect: (options: ConnectOptions) => void = () => {},
  options: Partial<MasterOptions> = {},
) {
  const hub = memoryBackend();
  const broker: Backend = {
    name: 'broker',
    connect: async (options) => {
      connect(options);
      const session = (await hub.connect(options)) as HubSession;
      tamper(session, options);
      return session;
    },
  };
  const witness = new Witness();
  const environment = { ...systemEnvironment, random: () => 0 };
  const master = await createMaster({ name: 'm', broker, environment, inspect: witness.inspect, ...options });
  masters.push(master);
  witness.watch(master);
  return { master, witness };
}

function expectNothingTold({ seen }: Witness, ...mustBeSeen: string[]): void {
  const all = seen.join('\n');
  for (const text of mustBeSeen) expect(all).toContain(text);
  expect(seen.filter((text) => text.includes(SECRET))).toEqual([]);
}

describe("the broker's password is in no error, event, snapshot or inspector message", () => {
  it('when a connection fails, or is lost, or the broker complains', async () => {
    let attempts = 0;
    let said: (() => void)[] = [];
    const sessions: HubSession[] = [];
    const { master, witness } = await witnessed(
      (session, { sink }) => {
        sessions.push(session);
        said = [
          () => sink.blocked(`memory alarm at ${URL}`),
          () => sink.unblocked(),
          () => sink.warning('SLOW', `${URL} is slow`),
        ];
      },
      () => {
        attempts++;
        if (attempts === 2) throw telling(new Error('socket hang up'));
        if (attempts === 4) throw telling(new AccessError('Wrong password.'));
      },
    );
    for (const say of said) say();
    sessions[0]!.drop(telling(new Error('The line is cut.')));
    await eventually('it is back', () => attempts === 3 && master.status === 'ready');
    sessions[1]!.drop(telling(new ConnectError('The line is cut again.')));
    await witness.refused('done', master.done);
    expectNothingTold(witness, 'socket hang up', 'memory alarm', 'is slow', 'Wrong password', 'cut again');
  });

  it('when a master cannot start', async () => {
    for (const error of [telling(new AccessError('Wrong password.')), passing()]) {
      const witness = new Witness();
      const broker: Backend = { name: URL, connect: () => Promise.reject(error) };
      const options = { name: 'm', broker, connectTimeoutMs: 20, inspect: witness.inspect };
      await witness.refused('createMaster', createMaster(options));
      expectNothingTold(witness, error instanceof AccessError ? 'Wrong password' : 'Not now');
    }
    const witness = new Witness();
    const silent: Backend = { name: URL, connect: ({ signal }) => aborted(signal) };
    const options = { name: 'm', broker: silent, connectTimeoutMs: 20, inspect: witness.inspect };
    await witness.refused('createMaster', createMaster(options));
    expectNothingTold(witness, 'ERR_CONNECT');
  });

  it('when a call is refused', async () => {
    const refuse = () => Promise.reject(final());
    const { master, witness } = await witnessed((session) => {
      session.publish = session.declareQueue = session.deleteQueue = session.queues = refuse;
      session.listen = session.redrive = session.dropDeadLetters = refuse;
      session.deadLetters = () => ({ [Symbol.asyncIterator]: () => ({ next: refuse }) });
    });
    const calls: Record<string, () => Promise<unknown>> = {
      publish: () => master.publish('a', 1),
      subscribe: () => master.subscribe('a', () => {}),
      consume: () => master.consume('q', { bindings: ['a'] }, () => {}),
      waitFor: () => master.waitFor('a'),
      queues: () => master.queues(),
      deleteQueue: () => master.deleteQueue('q'),
      redrive: () => master.redrive('q'),
      dropDeadLetters: () => master.dropDeadLetters('q'),
      deadLetters: () => master.deadLetters('q').next(),
    };
    for (const [name, call] of Object.entries(calls)) await witness.refused(name, call());
    expectNothingTold(witness, ...Object.keys(calls).map((name) => `${name}: `), 'ERR_QUEUE_SETTINGS');
  });

  it('when a spooled message is refused for good, nor in the file where it is set aside', async () => {
    const parent = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-secrets-')));
    const spool = join(parent, 'spool');
    const sessions: HubSession[] = [];
    const { master, witness } = await witnessed(
      (session) => {
        session.publish = () => (sessions.length > 1 ? Promise.reject(final()) : new Promise(() => {}));
        sessions.push(session);
      },
      () => {},
      { spool, publishTimeoutMs: 20 },
    );
    expect(await master.publish('a', 1)).toMatchObject({ outcome: 'spooled' });
    sessions[0]!.drop(passing());
    await eventually('it is set aside', () => witness.seen.some((text) => text.includes('SPOOL_REFUSED')));
    witness.show('refused.jsonl', readFileSync(join(spool, 'refused.jsonl'), 'utf8'));
    expectNothingTold(witness, 'refused.jsonl: ', 'Never.');
    await master.stop();
    rmSync(parent, { recursive: true });
  });

  it('when a subscriber or a consumer crashes and is given up', async () => {
    const refuse = () => Promise.reject(passing());
    for (const call of ['listen', 'declareQueue', 'claim', 'consume'] as const) {
      const { master, witness } = await witnessed((session) => {
        (session as Record<typeof call, unknown>)[call] = refuse;
      });
      if (call === 'listen')
        await witness.refused(
          call,
          master.subscribe('a', () => {}),
        );
      else {
        const consuming = master.consume('q', { bindings: ['a'] }, () => {});
        if (call === 'consume') {
          const consumer = await consuming;
          await eventually('it is given up', () => consumer.status === 'failed');
        } else await witness.refused(call, consuming);
      }
      expectNothingTold(witness, 'Not now.');
      await master.stop();
    }
  });

  it('when an owner is fenced, its binding fails, or its queue is lost', async () => {
    for (const way of ['fenced', 'lost', 'consumer lost', 'bind'] as const) {
      const told: ((error: Error) => void)[] = [];
      const { master, witness } = await witnessed((session) => {
        const [claim, consume] = [session.claim.bind(session), session.consume.bind(session)];
        session.claim = (queue, sink) =>
          claim(queue, {
            ...sink,
            granted: (ownership) => {
              told.push((error) => (way === 'fenced' ? sink.fenced(error) : sink.lost(error)));
              if (way === 'bind') ownership.bind = () => Promise.reject(final());
              sink.granted(ownership);
            },
          });
        session.consume = (queue, options, sink) => {
          if (way === 'consumer lost') told.push((error) => sink.lost(error));
          return consume(queue, options, sink);
        };
      });
      let signal: AbortSignal | undefined;
      const consuming = master.consume('q', { bindings: ['a'] }, (_, delivery) => {
        signal = delivery.signal;
        return aborted(signal).catch(() => {});
      });
      if (way === 'bind') await witness.refused(way, consuming);
      else {
        await consuming;
        await master.publish('a', 1);
        await eventually('the handler runs', () => signal !== undefined);
        told.at(-1)!(telling(new FencedError('Another owner.')));
        await eventually('the handler is told', () => signal!.aborted);
        witness.show('the reason of the signal', signal!.reason);
      }
      expectNothingTold(witness, way === 'bind' ? 'Never.' : 'Another owner.');
      await master.stop();
    }
  });
});

function aborted(signal: AbortSignal): Promise<Session> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
