/**
 * What the compiler says of typed messages. Nothing here runs: `npm test` compiles it, and a line under `@ts-expect-error` that
 * compiles is an error.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { z } from 'zod';
import {
  createMaster,
  defineMessages,
  type,
  type DeliveryContext,
  type Handler,
  type Master,
  type Message,
  type MessageOf,
  type StandardSchema,
} from '../../src/index.js';

type Same<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;

/** Does not compile unless the two types are the same. */
function same<One, Other>(..._proof: Same<One, Other> extends true ? [] : [{ not: One; but: Other }]): void {}

const messages = defineMessages({
  'changes.:id.new': z.object({ author: z.string(), files: z.array(z.string()).optional() }),
  'changes.:id.gone': type<{ reason: string }>(),
  'builds.:builder.:number.started': v.object({ at: v.date() }),
  'builds.:builder.:number.done': z.object({ seconds: z.string().transform(Number) }),
  'a%2Eb.:x': type<1>(),
  summary: type<'quiet' | 'loud' | undefined>(),
});
type Messages = typeof messages;

declare const id: string;
declare const count: number;
declare const words: string[];
declare const either: 'new' | 'gone';
declare const master: Master<Messages>;
declare const plain: Master;

/** What is made of it. */
export async function creating() {
  const made = await createMaster({ name: 'a', broker: 'memory:', messages });
  same<typeof made, Master<Messages>>();
  const without = await createMaster({ name: 'a', broker: 'memory:' });
  same<typeof without, Master>();
  same<typeof made.untyped, Master>();
  // @ts-expect-error: a plain object is no catalogue.
  await createMaster({ name: 'a', broker: 'memory:', messages: { a: type<1>() } });
}

export function defining() {
  defineMessages({
    'a.:x.new': type<1>(),
    'a.:x.old': type<1>(),
    'a.:x': type<1>(),
    ':any.b.c.d': type<1>(),
  });
  // @ts-expect-error: no schema.
  defineMessages({ a: { type: 'string' } });
  // @ts-expect-error: both fit `a.all.new`.
  defineMessages({ 'a.:x.new': type<1>(), 'a.all.:what': type<1>() });
  // @ts-expect-error: the names of parameters make no difference.
  defineMessages({ 'a.:x': type<1>(), 'a.:y': type<1>() });
  // @ts-expect-error: an empty word.
  defineMessages({ 'a..b': type<1>() });
  // @ts-expect-error: a wildcard.
  defineMessages({ 'a.*.b': type<1>() });
  // @ts-expect-error: a parameter named twice.
  defineMessages({ 'a.:x.b.:x': type<1>() });
  // @ts-expect-error: a parameter without a name.
  defineMessages({ 'a.:.b': type<1>() });
}

export async function publishing() {
  await master.publish('changes.17.new', { author: 'ada' });
  await master.publish(`changes.${id}.new`, { author: 'ada', files: [] });
  await master.publish(`changes.${count}.new`, { author: 'ada' });
  await master.publish(`changes.rev-${id}.new`, { author: 'ada' }, { headers: { a: 'b' }, timeoutMs: 5 });
  await master.publish(['changes', id, 'new'], { author: 'ada' });
  await master.publish(['changes', '1.7 *', 'new'], { author: 'ada' });
  await master.publish(['a.b', id], 1);
  await master.publish('a%2Eb.c', 1);
  await master.publish('summary', undefined);
  // What the schema takes, not what it makes of it.
  await master.publish('builds.linux.17.done', { seconds: '12' });
  // Of two topics: what both take.
  await master.publish(`changes.17.${either}`, { author: 'ada', reason: 'spam' });

  // @ts-expect-error: no such topic.
  await master.publish('changes.17.old', { author: 'ada' });
  // @ts-expect-error: too few words.
  await master.publish('changes.17', { author: 'ada' });
  // @ts-expect-error: too many words.
  await master.publish('changes.17.new.really', { author: 'ada' });
  // @ts-expect-error: a plain string.
  await master.publish(id, { author: 'ada' });
  // @ts-expect-error: words that are not known one by one.
  await master.publish(words, { author: 'ada' });
  // @ts-expect-error: so many words more.
  await master.publish(['changes', ...words], { author: 'ada' });
  // @ts-expect-error: a hole is any word, and only one of them is known.
  await master.publish(`changes.17.${id}`, { author: 'ada' });
  // @ts-expect-error: one of the two is no topic.
  await master.publish(`changes.17.${either as 'new' | 'old'}`, { author: 'ada' });
  // @ts-expect-error: a dot inside a word of an array is part of it.
  await master.publish(['changes', '17.new'], { author: 'ada' });
  // @ts-expect-error: a number is no word.
  await master.publish(['changes', 17, 'new'], { author: 'ada' });
  // @ts-expect-error: a wildcard is for patterns.
  await master.publish('summary.#', undefined);
  // @ts-expect-error: no author.
  await master.publish('changes.17.new', {});
  // @ts-expect-error: the author is no number.
  await master.publish('changes.17.new', { author: 7 });
  // @ts-expect-error: a field too many, where everybody can see it.
  await master.publish('changes.17.new', { author: 'ada', branch: 'main' });
  // @ts-expect-error: no data at all.
  await master.publish('changes.17.new');
  // @ts-expect-error: what the schema makes, not what it takes.
  await master.publish('builds.linux.17.done', { seconds: 12 });
  // @ts-expect-error: what only one of two takes.
  await master.publish(`changes.17.${either}`, { author: 'ada' });
  // @ts-expect-error: no such option.
  await master.publish('summary', 'quiet', { delayMs: 1 });
}

export async function subscribing() {
  await master.subscribe('changes.*.new', (message, delivery) => {
    same<typeof message.key, 'changes.:id.new'>();
    same<typeof message.params, Readonly<Record<'id', string>>>();
    same<typeof message.data, { author: string; files?: string[] | undefined }>();
    void delivery.publish('summary', 'quiet');
    // @ts-expect-error: a delivery publishes what the catalogue has.
    void delivery.publish('nonsense', 'quiet');
    // @ts-expect-error: no such parameter.
    void message.params.number;
    // @ts-expect-error: no such field.
    void message.data.branch;
  });
  await master.subscribe('changes.17.new', ({ params }) => params.id);
  await master.subscribe(`changes.${id}.new`, { mailbox: { limit: 1 } }, ({ data }) => data.author);
  await master.subscribe(['changes', '1.7', '*'], (message) => {
    same<typeof message.key, 'changes.:id.new' | 'changes.:id.gone'>();
    if (message.key === 'changes.:id.new') same<typeof message.data.author, string>();
    else same<typeof message.data, { reason: string }>();
  });
  await master.subscribe('builds.#', (message) => {
    same<typeof message.key, 'builds.:builder.:number.started' | 'builds.:builder.:number.done'>();
    same<typeof message.params, Readonly<Record<'builder' | 'number', string>>>();
    if (message.key === 'builds.:builder.:number.done') same<typeof message.data, { seconds: number }>();
  });
  await master.subscribe('#', ({ key }) => same<typeof key, keyof Messages['definitions']>());
  await master.subscribe('builds.#.done', ({ data }) => data.seconds.toFixed());
  await master.subscribe(`changes.17.${id}`, ({ key }) =>
    same<typeof key, 'changes.:id.new' | 'changes.:id.gone'>(),
  );
  await master.subscribe({ patterns: ['summary', ['changes', '*', 'gone']] }, ({ key }) =>
    same<typeof key, 'summary' | 'changes.:id.gone'>(),
  );
  await master.subscribe('summary', {
    send: ({ message, delivery }) => {
      same<typeof message.data, 'quiet' | 'loud' | undefined>();
      void delivery.publish('summary', message.data);
    },
  });

  // @ts-expect-error: no topic of the catalogue matches.
  await master.subscribe('changes.*.old', () => {});
  // @ts-expect-error: too few words.
  await master.subscribe('changes.*', () => {});
  // @ts-expect-error: a plain string.
  await master.subscribe(id, () => {});
  // @ts-expect-error: words that are not known one by one.
  await master.subscribe(words, () => {});
  // @ts-expect-error: one of them matches nothing.
  await master.subscribe({ patterns: ['summary', 'nonsense.#'] }, () => {});
  // @ts-expect-error: the second of them is a plain string.
  await master.subscribe({ patterns: ['summary', id] }, () => {});
  // @ts-expect-error: an array of one word, in which the wildcard is none.
  await master.subscribe(['changes.*.new'], () => {});
  // @ts-expect-error: a handler of something else.
  await master.subscribe('summary', (message: Message<number>) => message.data);
  // @ts-expect-error: a handler that might publish anything. `untyped` takes it.
  await master.subscribe('summary', (_: Message, delivery: DeliveryContext) => delivery.publish('x', 1));
}

export async function consuming() {
  const options = { ownership: 'shared', concurrency: 2 } as const;
  await master.consume('q', { bindings: ['changes.*.new', 'summary'], ...options }, (message, delivery) => {
    same<typeof message.key, 'changes.:id.new' | 'summary'>();
    if (message.key === 'summary') same<typeof message.data, 'quiet' | 'loud' | undefined>();
    // @ts-expect-error: a delivery publishes what the catalogue has.
    void delivery.publish('changes.17.new', {});
  });
  await master.consume(
    'q',
    { bindings: [['builds', 'linux', '#']], orderBy: (message) => message.params.number },
    ({ data }) => data,
  );
  // @ts-expect-error: one of the bindings matches nothing.
  await master.consume('q', { bindings: ['changes.*.new', 'changes.*.old'] }, () => {});
  // @ts-expect-error: a plain string.
  await master.consume('q', { bindings: [id] }, () => {});
  // @ts-expect-error: no such parameter.
  await master.consume('q', { bindings: ['summary'], orderBy: ({ params }) => params.id }, () => {});
  // @ts-expect-error: no such option.
  await master.consume('q', { bindings: ['summary'], prefetches: 1 }, () => {});
}

export async function waiting() {
  const message = await master.waitFor('changes.17.gone');
  same<typeof message.data, { reason: string }>();
  const found = await master.waitFor('summary', { check: async () => (count > 1 ? count : undefined) });
  if (typeof found !== 'number') same<typeof found.key, 'summary'>();
  for await (const { key, params } of await master.messages('changes.#')) {
    same<typeof key, 'changes.:id.new' | 'changes.:id.gone'>();
    same<typeof params.id, string>();
  }
  // @ts-expect-error: no topic of the catalogue matches.
  await master.waitFor('changes.17.old');
  // @ts-expect-error: no topic of the catalogue matches.
  await master.messages(['changes', '17']);
}

/** Without a catalogue any topic is one, and data is unknown. */
export async function untyped(topic: string, handler: Handler) {
  for (const any of [plain, master.untyped]) {
    await any.publish(topic, { whatever: 1 });
    await any.publish(words, undefined);
    await any.subscribe(topic, handler);
    await any.subscribe({ patterns: words }, {}, handler);
    await any.subscribe('a.*', (message, delivery) => {
      same<typeof message, Message>();
      same<typeof delivery, DeliveryContext>();
      // @ts-expect-error: nobody knows what it is.
      void message.data.author;
    });
    await any.consume('q', { bindings: words, orderBy: ({ topic }) => topic }, handler);
    same<Awaited<ReturnType<typeof any.messages>>, AsyncIterableIterator<Message>>();
  }
  // @ts-expect-error: who takes any master may publish anything on it.
  const wrong: Master = master;
  void wrong;
}

/** The type of a message, for a handler that stands elsewhere. */
export function elsewhere(message: MessageOf<Messages, 'changes.#'>): string {
  return message.key === 'changes.:id.new' ? message.data.author : message.data.reason;
}
void (async () => master.subscribe('changes.*.new', elsewhere));

/** The standard as this package writes it out is the standard. */
export function standard(ours: StandardSchema<1, 2>, theirs: StandardSchemaV1<1, 2>): void {
  const [there, here]: [StandardSchemaV1<1, 2>, StandardSchema<1, 2>] = [ours, theirs];
  void [there, here];
}
