import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  createMaster,
  defineMessages,
  type,
  type InvalidDataError,
  type Master,
  type MasterOptions,
  type MaybeCatalogue,
  type TimeoutError,
} from '../src/index.js';
import { eventually, rejection } from './eventually.js';
import { started } from './master/farm.js';

const messages = defineMessages({
  'changes.:id.new': z.object({ author: z.string(), size: z.string().transform(Number).optional() }),
  'changes.:id.gone': v.object({ reason: v.string() }),
  'builds.:number.started': type<{ at: Date }>(),
});

let hubs = 0;

/** Masters of one hub, with a catalogue or without. */
function farm() {
  const broker = `memory:typed-${++hubs}`;
  return async <C extends MaybeCatalogue = undefined>(
    name: string,
    options: Partial<MasterOptions<C>> = {},
  ): Promise<Master<C>> => {
    const master = await createMaster<C>({ name, broker, ...options });
    started.push(master.untyped);
    return master;
  };
}

describe('publish', () => {
  it('rejects data that its schema refuses, and sends nothing', async () => {
    const create = farm();
    const [master, other] = [await create('a', { messages }), await create('b')];
    const got: unknown[] = [];
    await other.subscribe('#', ({ data }) => got.push(data));
    const error = await rejection(master.publish('changes.1.new', { author: 7 as never }));
    expect(error).toMatchObject({ code: 'ERR_INVALID_DATA', topic: 'changes.1.new', key: 'changes.:id.new' });
    expect((error as InvalidDataError).issues).toEqual([
      { path: ['author'], message: expect.any(String) as string },
    ]);
    await master.publish('changes.2.gone', { reason: 'spam' });
    await eventually('the good one arrives', () => got.length === 1);
    expect(got).toEqual([{ reason: 'spam' }]);
  });

  it('rejects a topic that no key fits, when the types were passed by', async () => {
    const master = await farm()('a', { messages });
    const topics = ['changes.1.old', 'changes.1', 'builds', ['changes', '1.new']] as never[];
    for (const topic of topics)
      expect(await rejection(master.publish(topic, {}))).toMatchObject({
        code: 'ERR_UNKNOWN_TOPIC',
      });
    expect(await rejection(master.publish('a..b' as never, {}))).toMatchObject({
      code: 'ERR_TOPIC',
    });
  });

  it('sends what was given, and each receiver makes its own of it', async () => {
    const create = farm();
    const [master, other] = [await create('a', { messages }), await create('b')];
    const [made, sent]: [unknown[], unknown[]] = [[], []];
    await master.subscribe('changes.*.new', ({ data }) => made.push(data));
    await master.subscribe('changes.#', ({ data }) => made.push(data));
    await other.subscribe('#', ({ data }) => sent.push(data));
    await master.publish('changes.1.new', { author: 'ada', size: '12' });
    await eventually('all have it', () => made.length === 2 && sent.length === 1);
    expect([made, sent]).toEqual([
      [
        { author: 'ada', size: 12 },
        { author: 'ada', size: 12 },
      ],
      [{ author: 'ada', size: '12' }],
    ]);
    expect(made[0]).not.toBe(made[1]);
  });

  it('lets unknown fields pass, from the publisher to the handler', async () => {
    const master = await farm()('a', { messages });
    const data = { author: 'ada', branch: 'main', list: [{ deep: true }] };
    const waiting = master.waitFor('changes.1.new', {
      check: () => master.publish('changes.1.new', data).then(() => undefined),
    });
    expect((await waiting).data).toEqual(data);
  });
});

describe('schemas that answer later', () => {
  /** Answers when it is told to. */
  const slow = () => {
    const waiting = new Map<unknown, (valid: boolean) => void>();
    const catalogue = defineMessages({
      'slow.:n': z.object({ n: z.number() }).refine(
        ({ n }) =>
          new Promise<boolean>((resolve) => {
            const before = waiting.get(n);
            waiting.set(n, (valid) => {
              before?.(valid);
              resolve(valid);
            });
          }),
      ),
      fast: type<number>(),
    });
    const asked = (n: number) => eventually(`${n} is asked for`, () => waiting.has(n));
    return { catalogue, waiting, asked };
  };

  it('keep the order in which was published', async () => {
    const create = farm();
    const { catalogue, waiting, asked } = slow();
    const [master, other] = [await create('a', { messages: catalogue }), await create('b')];
    const got: unknown[] = [];
    await other.subscribe('#', ({ data }) => got.push(data));
    const publishes = [
      master.publish('slow.x', { n: 1 }),
      master.publish('fast', 2),
      rejection(master.publish('slow.x', { n: 3 })),
      master.publish('slow.x', { n: 4 }),
      master.publish('fast', 5),
    ];
    await asked(4);
    waiting.get(4)!(true);
    waiting.get(3)!(false);
    waiting.get(1)!(true);
    expect(await Promise.all(publishes)).toMatchObject([{}, {}, { code: 'ERR_INVALID_DATA' }, {}, {}]);
    await eventually('all have come', () => got.length === 4);
    expect(got).toEqual([{ n: 1 }, 2, { n: 4 }, 5]);
  });

  it('hold nobody up past the deadline, the signal or the stop', async () => {
    const { catalogue, waiting, asked } = slow();
    const master = await farm()('a', { messages: catalogue });
    const never = rejection(master.publish('slow.x', { n: 1 }, { timeoutMs: 5 }));
    const controller = new AbortController();
    const aborted = rejection(master.publish('slow.x', { n: 2 }, { signal: controller.signal }));
    const behind = master.publish('fast', 3);
    expect(await never).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
    controller.abort(new Error('no more'));
    expect(await aborted).toMatchObject({ message: 'no more' });
    await behind;
    await asked(2);
    for (const answer of waiting.values()) answer(true);
    const stopped = rejection(master.publish('slow.x', { n: 4 }));
    await asked(4);
    await master.stop();
    expect(await stopped).toMatchObject({ code: 'ERR_STOPPED' });
  });

  it('leave a publish past its deadline unsent, which can be retried under its id', async () => {
    const create = farm();
    const { catalogue, waiting, asked } = slow();
    const [master, other] = [await create('a', { messages: catalogue }), await create('b')];
    const got: unknown[] = [];
    await other.subscribe('#', ({ id, data }) => got.push([id, data]));
    const late = async (n: number) => {
      const error = await rejection(master.publish('slow.x', { n }, { timeoutMs: 5 }));
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'not-sent' });
      expect((error.cause as Error).message).toMatch(/schema/);
      return error as TimeoutError;
    };
    const valid = await late(1);
    await asked(1);
    // It still has no answer.
    expect(await rejection(valid.retry())).toMatchObject({ id: valid.id, outcome: 'not-sent' });
    waiting.get(1)!(true);
    expect(await valid.retry()).toEqual({ id: valid.id, outcome: 'confirmed' });
    expect(await rejection(valid.retry())).toMatchObject({ code: 'ERR_RETRY_EXPIRED' });
    const invalid = await late(2);
    await asked(2);
    waiting.get(2)!(false);
    expect(await rejection(invalid.retry())).toMatchObject({ code: 'ERR_INVALID_DATA' });
    await eventually('it has come', () => got.length === 1);
    expect(got).toEqual([[valid.id, { n: 1 }]]);
  });

  it('keep the order in which a handler gets messages', async () => {
    const create = farm();
    const { catalogue, waiting, asked } = slow();
    const [master, other] = [await create('a', { messages: catalogue }), await create('b')];
    const got = { tail: [] as unknown[], queue: [] as unknown[] };
    await master.subscribe('#', ({ data }) => got.tail.push(data));
    await master.consume('q', { bindings: ['#'] }, ({ data }) => got.queue.push(data));
    await other.publish('slow.x', { n: 1 });
    await other.publish('fast', 2);
    await asked(1);
    await other.publish('slow.x', { n: 3 });
    expect(got).toEqual({ tail: [], queue: [] });
    const answers = setInterval(() => {
      for (const [n, answer] of waiting) answer(n !== 3);
    }, 1);
    const letters: unknown[] = [];
    master.on('dead-letter', ({ reason }) => letters.push(reason));
    await eventually('the third is refused', () => letters.length === 1);
    clearInterval(answers);
    expect([got, letters]).toEqual([{ tail: [{ n: 1 }, 2], queue: [{ n: 1 }, 2] }, ['invalid']]);
  });

  it('give back what they have not answered when the consumer stops', async () => {
    const create = farm();
    const { catalogue, asked } = slow();
    const [master, other] = [await create('a', { messages: catalogue }), await create('b')];
    const consumer = await master.consume('q', { bindings: ['#'] }, () => {});
    await other.publish('slow.x', { n: 1 });
    await other.publish('fast', 2);
    await asked(1);
    await consumer.stop();
    const got: unknown[] = [];
    await other.consume('q', { bindings: ['#'] }, ({ data }, { redelivered }) =>
      got.push([data, redelivered]),
    );
    await eventually('both have come', () => got.length === 2);
    expect(got).toEqual([
      [{ n: 1 }, false],
      [2, false],
    ]);
  });
});

describe('a handler', () => {
  it('gets the key that fits and its parameters', async () => {
    const master = await farm()('a', { messages });
    const got: unknown[] = [];
    await master.subscribe(['changes', '1.7', '*'], ({ key, params }) => got.push([key, params]));
    await master.consume('q', { bindings: ['#'] }, (message) => {
      got.push([message.key, message.params, Object.isFrozen(message)]);
    });
    await master.publish(['changes', '1.7', 'new'], { author: 'ada' });
    await eventually('both have it', () => got.length === 2);
    expect(got).toContainEqual(['changes.:id.new', { id: '1.7' }]);
    expect(got).toContainEqual(['changes.:id.new', { id: '1.7' }, true]);
  });

  it('shares plain data with others, and gets its own dates', async () => {
    const master = await farm()('a', { messages });
    const got: { data: unknown }[] = [];
    for (let n = 0; n < 2; n++) {
      await master.subscribe('#', (message) => got.push(message));
      await master.untyped.subscribe('#', (message) => got.push(message));
    }
    await master.publish('changes.1.gone', { reason: 'spam' });
    await eventually('all have it', () => got.length === 4);
    expect(new Set(got.map(({ data }) => data)).size).toBe(1);
    await master.publish('builds.1.started', { at: new Date(5) });
    await eventually('all have it', () => got.length === 8);
    const dates = got.slice(4).map(({ data }) => (data as { at: Date }).at);
    expect([new Set(dates).size, dates[3]]).toEqual([4, new Date(5)]);
  });

  it('is not called with what does not fit: failure for a subscriber, a dead letter for a queue', async () => {
    const create = farm();
    const [master, other] = [await create('a', { messages }), await create('b')];
    const [failures, letters]: [unknown[], unknown[]] = [[], []];
    master.on('failure', ({ topic, error }) => failures.push([topic, (error as InvalidDataError).code]));
    master.on('dead-letter', ({ queue, reason, error }) =>
      letters.push([queue, reason, error.split(':')[0]]),
    );
    const got: unknown[] = [];
    await master.subscribe('#', ({ key }) => got.push(key));
    await master.consume('q', { bindings: ['#'] }, ({ key }) => got.push(key));
    await other.publish('changes.1.new', { author: 7 });
    await other.publish('elsewhere', 1);
    await other.publish('changes.1.gone', { reason: 'spam' });
    await eventually('the good one is handled twice', () => got.length === 2 && letters.length === 2);
    expect(got).toEqual(['changes.:id.gone', 'changes.:id.gone']);
    expect(failures).toEqual([
      ['changes.1.new', 'ERR_INVALID_DATA'],
      ['elsewhere', 'ERR_UNKNOWN_TOPIC'],
    ]);
    expect(letters).toEqual([
      ['q', 'invalid', 'The data on "changes.1.new" was refused by the schema of key "changes.'],
      ['q', 'invalid', 'No key of the catalogue fits the topic "elsewhere". Add one, or use master.untyped.'],
    ]);
    const stored = [];
    for await (const { reason, attempts, message } of master.deadLetters('q'))
      stored.push([reason, attempts, message.data]);
    expect(stored).toEqual([
      ['invalid', 0, { author: 7 }],
      ['invalid', 0, 1],
    ]);
  });

  it('publishes what the catalogue has', async () => {
    const master = await farm()('a', { messages });
    const errors: unknown[] = [];
    const publishes: (() => Promise<unknown>)[] = [];
    await master.subscribe('changes.*.new', (_, { publish }) =>
      publishes.push(() => publish('x' as never, 1)),
    );
    await master.consume('q', { bindings: ['changes.*.new'] }, async (_, { publish }) => {
      errors.push(await rejection(publish('changes.1.gone', {} as never)));
    });
    await master.publish('changes.1.new', { author: 'ada' });
    await eventually('both are called', () => publishes.length === 1 && errors.length === 1);
    errors.push(await rejection(publishes[0]!()));
    expect(errors).toMatchObject([{ code: 'ERR_INVALID_DATA' }, { code: 'ERR_UNKNOWN_TOPIC' }]);
  });

  it('is not found by a pattern that matches no topic of the catalogue', async () => {
    const master = await farm()('a', { messages });
    const handler = () => {};
    for (const refused of [
      master.subscribe('changes.*.old' as never, handler),
      master.subscribe({ patterns: ['#', 'nope'] } as never, handler),
      master.consume('q', { bindings: ['nope.#'] as never }, handler),
      master.waitFor('nope' as never),
      master.messages('nope' as never),
    ])
      expect(await rejection(refused)).toMatchObject({ code: 'ERR_UNKNOWN_TOPIC' });
    expect(await master.queues()).toEqual([]);
  });

  it('is served by waitFor and messages too', async () => {
    const master = await farm()('a', { messages });
    const waiting = master.waitFor('builds.7.started');
    const stream = await master.messages('changes.#');
    await eventually('it waits', async () => {
      await master.publish('builds.7.started', { at: new Date(1) });
      return Promise.race([
        waiting.then(() => true),
        new Promise<false>((done) => setTimeout(done, 5, false)),
      ]);
    });
    expect((await waiting).params).toEqual({ number: '7' });
    await master.publish('changes.1.gone', { reason: 'spam' });
    for await (const { key, params } of stream) {
      expect([key, params]).toEqual(['changes.:id.gone', { id: '1' }]);
      break;
    }
  });
});

describe('master.untyped', () => {
  it('is the same master without the catalogue', async () => {
    const master = await farm()('a', { messages });
    const { untyped } = master;
    const got: unknown[] = [];
    await untyped.subscribe('#', ({ key, params, data }) => got.push([key, params, data]));
    await untyped.publish('changes.1.new', { author: 7 });
    await untyped.publish('elsewhere', 1);
    await eventually('both have come', () => got.length === 2);
    expect(got).toEqual([
      [undefined, {}, { author: 7 }],
      [undefined, {}, 1],
    ]);
    expect([untyped.name, untyped.status, untyped.actor]).toEqual(['a', 'ready', master.actor]);
    expect([untyped.untyped, master.untyped]).toEqual([untyped, untyped]);
    const plain = await farm()('b');
    expect(plain.untyped).toBe(plain);
    await untyped.stop();
    expect([master.status, untyped.status]).toEqual(['stopped', 'stopped']);
    await master.done;
  });

  it('is what a master is that was created without', async () => {
    const error = await rejection(
      createMaster({ name: 'a', broker: 'memory:', messages: { a: type() } as never }),
    );
    expect(error).toMatchObject({ code: 'ERR_OPTION' });
  });
});
