import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import type { Claim, Consumer, Delivery, Ownership, QueueSpec } from '../../src/backend.js';
import type { DurableQueue, Entry, Letter } from '../../src/backends/hub/durable-queue.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { noJournal, type Journal } from '../../src/backends/hub/journal.js';
import { systemEnvironment, type Environment } from '../../src/model/clock.js';
import { FencedError, QueueFullError, QueueInUseError, QueueNotFoundError } from '../../src/model/errors.js';
import type { Envelope } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';
import { topicMatches } from '../../src/model/topic.js';
import { ClaimRecord, collect, ConsumerRecord, TransientRecord } from '../../src/testing/cases/records.js';
import { specOf } from '../../src/testing/cases/member.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';

/*
 * The hub against a plain model. The model does not say whom the hub serves next: it is told by the sinks, and checks
 * that what it is told may happen now. After each command, what should have happened has.
 */

const TOPICS = ['a', 'b', 'a.b'];
const PATTERNS = ['a', 'b', '#', 'a.*', '*'];
const EXPIRES_MS = 1_000;
const RUNS = 400;
const SPECS: QueueSpec[] = [
  specOf('exclusive'),
  specOf('shared', { ownership: 'shared', limit: { messages: 4, onFull: 'drop-oldest' } }),
  specOf('expiring', { limit: { messages: 5, onFull: 'reject-publish' }, expiresMs: EXPIRES_MS }),
];

/** What the hub has written, and how much of it is safe. Flushes when told, or with each write. */
class Disk implements Journal {
  readonly queues = new Map<string, { bindings: string[]; epoch: number; checkpoint: string }>();
  readonly entries = new Map<string, Map<number, string>>();
  readonly letters = new Map<string, Set<string>>();
  written = 0;
  safe = 0;
  batch = 0;
  safeBatch = -1;
  readonly refusal = undefined;
  readonly safeEpochs = new Map<string, number>();
  #callbacks: (() => void)[] = [];

  constructor(readonly atOnce: boolean) {
    if (atOnce) this.safeBatch = 0;
  }

  putQueue({ id, bindings, epoch, checkpoint }: DurableQueue): void {
    this.queues.set(id, { bindings: [...bindings].sort(), epoch, checkpoint: String(checkpoint) });
    if (!this.entries.has(id)) this.entries.set(id, new Map());
    if (!this.letters.has(id)) this.letters.set(id, new Set());
    this.#wrote();
  }

  removeQueue({ id }: DurableQueue): void {
    for (const things of [this.queues, this.entries, this.letters]) assert.equal(things.delete(id), true);
    this.#wrote();
  }

  putCheckpoint({ id, checkpoint }: DurableQueue): void {
    this.queues.get(id)!.checkpoint = String(checkpoint);
    this.#wrote();
  }

  addEntry(queue: DurableQueue, entry: Entry): void {
    assert.equal(this.entries.get(queue.id)!.has(entry.position), false);
    this.markEntry(queue, entry);
  }

  markEntry({ id }: DurableQueue, { position, envelope, redrives, attempts, redelivered }: Entry): void {
    this.entries.get(id)!.set(position, `${envelope.id}/${redrives} ${attempts} ${redelivered}`);
    this.#wrote();
  }

  removeEntry({ id }: DurableQueue, { position }: Entry): void {
    assert.equal(this.entries.get(id)!.delete(position), true);
    this.#wrote();
  }

  putLetter({ id }: DurableQueue, letter: Letter): void {
    this.letters.get(id)!.add(letter.id);
    this.#wrote();
  }

  removeLetter({ id }: DurableQueue, letter: Letter): void {
    assert.equal(this.letters.get(id)!.delete(letter.id), true);
    this.#wrote();
  }

  afterFlush(callback: () => void): void {
    this.#callbacks.push(callback);
    if (this.atOnce) this.flush();
  }

  #wrote(): void {
    this.written++;
    if (this.atOnce) this.safe = this.written;
  }

  get isFlushed(): boolean {
    return this.#callbacks.length === 0;
  }

  flush(): void {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    this.safe = this.written;
    if (!this.atOnce) this.safeBatch = this.batch++;
    for (const [id, { epoch }] of this.queues) this.safeEpochs.set(id, epoch);
    for (const callback of callbacks) callback();
  }
}

interface Copy {
  readonly key: string;
  readonly envelope: Envelope;
  readonly position: number;
  readonly redrives: number;
  readonly writtenAt: number;
  attempts: number;
  redelivered: boolean;
  begun: boolean;
}

class QueueModel {
  readonly ready: Copy[] = [];
  readonly letters: Copy[] = [];
  readonly line: ClaimModel[] = [];
  readonly consumers: ConsumerModel[] = [];
  bindings = new Set<string>();
  owner: ClaimModel | undefined;
  epoch = 0;
  checkpoint = 'undefined';
  idleSince: number | undefined;
  positions = 0;
  readonly count = { accepted: 0, acked: 0, dropped: 0 };

  constructor(
    readonly spec: QueueSpec,
    readonly id: string,
  ) {}

  get held(): Copy[] {
    return this.consumers.flatMap((consumer) => consumer.held);
  }

  get isFull(): boolean {
    return this.spec.limit !== undefined && this.ready.length >= this.spec.limit.messages;
  }

  get inUse(): boolean {
    return this.owner !== undefined || this.line.length > 0 || this.consumers.length > 0;
  }

  append(envelope: Envelope, redrives: number, writtenAt: number): void {
    if (this.spec.limit?.onFull === 'drop-oldest')
      for (; this.isFull; this.count.dropped++) this.ready.shift();
    const key = `${envelope.id}/${redrives}`;
    const position = ++this.positions;
    const redelivered = redrives > 0;
    this.ready.push({ key, envelope, position, redrives, writtenAt, attempts: 0, redelivered, begun: false });
    if (redrives === 0) this.count.accepted++;
  }
}

interface ClaimModel {
  readonly master: string;
  readonly queue: QueueModel;
  ownership: Ownership | undefined;
  /** What had been written when it had bound. */
  boundAt: number;
  told: { granted: number; lost: number };
  isOpen: boolean;
  /** Undefined until the call has resolved. */
  real: Claim | undefined;
}

interface ConsumerModel {
  readonly queue: QueueModel;
  readonly claim: ClaimModel | undefined;
  readonly prefetch: number;
  held: Copy[];
  lost: number;
  isOpen: boolean;
  /** Undefined until the call has resolved. */
  real: Consumer | undefined;
}

interface ListenerModel {
  readonly patterns: Set<string>;
  /** By producer, what is still to come. */
  readonly expected: Map<string, string[]>;
  isOpen: boolean;
}

interface Handed {
  readonly delivery: Delivery;
  readonly consumer: ConsumerModel;
  readonly copy: Copy;
}

/** A session and what the model knows of it. */
interface Master {
  readonly name: string;
  readonly session: HubSession;
  readonly claims: ClaimModel[];
  readonly consumers: ConsumerModel[];
  readonly listeners: { model: ListenerModel; bind(pattern: string): void; close(): void }[];
}

/** Numbers, from which each command takes what is there to be chosen from. */
type Command = readonly [kind: number, one: number, other: number, third: number];

/** To what a sink reacts. */
interface Told {
  readonly queue?: QueueModel | undefined;
  readonly claim?: ClaimModel | undefined;
  readonly consumer?: ConsumerModel | undefined;
  readonly handed?: Handed | undefined;
}
type Reaction = (told: Told) => void;

class World {
  readonly env = virtualEnvironment(7);
  readonly disk: Disk;
  readonly hub: Hub;
  readonly queues = new Map<string, QueueModel>();
  readonly masters: (Master | undefined)[] = [undefined, undefined, undefined];
  readonly claims: ClaimModel[] = [];
  readonly consumers: ConsumerModel[] = [];
  readonly handed: Handed[] = [];
  readonly #failures: unknown[] = [];
  #open = 0;
  #published = 0;
  #reactions = 0;
  #names = 0;

  constructor(atOnce: boolean) {
    this.disk = new Disk(atOnce);
    this.hub = new Hub(this.env, this.disk);
  }

  readonly commands: ((one: number, other: number, third: number) => void)[] = [
    (one) => this.connect(one % 3),
    (one, other) => this.declare(this.masters[one % 3], SPECS[other % 3]!),
    ...Array.from({ length: 4 }, () => (one: number, other: number) => {
      this.publish(this.masters[one % 3], TOPICS[other % 3]!, undefined);
    }),
    (one, other) => this.publish(this.masters[one % 3], TOPICS[other % 3]!, pick(this.claims, other)),
    (one, other, third) => this.claim(this.masters[one % 3], SPECS[other % 3]!.name, this.#reaction(third)),
    (one, other, third) =>
      this.consume(
        this.masters[one % 3],
        SPECS[other % 3]!.name,
        1 + (third % 4),
        this.#reaction(third >> 2),
      ),
    (one, other, third) =>
      this.bind(pick(this.claims, one), [pick(PATTERNS, other)!, pick(PATTERNS, third)!]),
    (one) => this.begin(pick(this.handed, one)),
    (one) => this.cutOff(pick(this.handed, one)),
    ...Array.from({ length: 3 }, () => (one: number) => this.ack(pick(this.handed, one))),
    ...Array.from({ length: 2 }, () => (one: number) => this.reject(pick(this.handed, one))),
    (one, other, third) =>
      this.save(pick(this.claims, one), [pick(this.handed, other), pick(this.handed, third)]),
    (one) => this.closeConsumer(pick(this.consumers, one)),
    (one, other) => this.endClaim(pick(this.claims, one), other % 2 === 0 ? 'release' : 'withdraw'),
    (one, other) => this.endSession(one % 3, other % 2 === 0 ? 'close' : 'crash'),
    (one, other, third) => this.delete(this.masters[one % 3], SPECS[other % 3]!.name, third % 2 === 0),
    (one, other, third) => this.redrive(this.masters[one % 3], SPECS[other % 3]!.name, third),
    (one, other) => this.drop(this.masters[one % 3], SPECS[other % 3]!.name),
    (one, other, third) => this.listen(this.masters[one % 3], pick(PATTERNS, other)!, this.#reaction(third)),
    (one, other) => pick(this.masters[one % 3]?.listeners ?? [], other)?.bind(pick(PATTERNS, other)!),
    (one, other) => pick(this.masters[one % 3]?.listeners ?? [], other)?.close(),
    () => this.disk.flush(),
  ];

  async run([kind, one, other, third]: Command): Promise<void> {
    this.#reactions = 3;
    if (kind === this.commands.length) await this.#elapse(100 * (one % 15));
    else this.commands[kind]!(one, other, third);
    await settle();
    this.check();
  }

  /** What a sink does from within the hub's call, a few times for each command. */
  #reaction(which: number): Reaction {
    const slot = which % 3;
    const reactions: Reaction[] = [
      () => {},
      ({ handed }) => this.ack(handed),
      ({ handed }) => this.reject(handed),
      ({ handed }) => this.begin(handed),
      () => this.publish(this.masters[slot], TOPICS[slot]!, undefined),
      ({ consumer }) => this.closeConsumer(consumer),
      ({ claim }) => this.endClaim(claim, which % 2 === 0 ? 'release' : 'withdraw'),
      ({ claim }) => this.bind(claim, ['#']),
      ({ claim, queue }) => this.consume(this.masters[slot], (claim?.queue ?? queue)?.spec.name, 1, () => {}),
      ({ queue }) => this.claim(this.masters[slot], queue?.spec.name, () => {}),
      () => this.endSession(slot, which % 2 === 0 ? 'close' : 'crash'),
      ({ queue }) => this.delete(this.masters[slot], queue?.spec.name ?? SPECS[slot]!.name, true),
    ];
    const reaction = pick(reactions, which)!;
    return (told) => {
      if (this.#reactions-- > 0) reaction(told);
    };
  }

  connect(slot: number): void {
    if (this.masters[slot]) return;
    const name = `master-${slot}-${++this.#names}`;
    const confirmed = () => new Promise<void>((resolve) => this.disk.afterFlush(resolve));
    const session = new HubSession(this.hub, name, 'incarnation', confirmed);
    this.masters[slot] = { name, session, claims: [], consumers: [], listeners: [] };
  }

  declare(master: Master | undefined, spec: QueueSpec): void {
    if (!master) return;
    this.#settles(master.session.declareQueue(spec));
    if (this.queues.has(spec.name)) return;
    const queue = new QueueModel(spec, this.hub.queues.get(spec.name)!.id);
    queue.idleSince = this.env.clock.now();
    this.queues.set(spec.name, queue);
  }

  publish(master: Master | undefined, topic: string, fence: ClaimModel | undefined): void {
    if (!master) return;
    const id = `${master.name}-${++this.#published}`;
    const envelope = envelopeOf(id, topic);
    if (fence?.ownership && !this.#owns(fence)) {
      this.#settles(master.session.publish(envelope, fence.ownership), FencedError);
      return;
    }
    const targets = [...this.queues.values()].filter(({ bindings }) => matches(bindings, topic));
    const full = targets.filter((queue) => queue.isFull && queue.spec.limit?.onFull === 'reject-publish');
    for (const queue of targets) if (!full.includes(queue)) queue.append(envelope, 0, this.disk.written + 1);
    for (const { model } of this.masters.flatMap((each) => each?.listeners ?? []))
      if (matches(model.patterns, topic)) {
        if (!model.expected.has(master.name)) model.expected.set(master.name, []);
        model.expected.get(master.name)!.push(id);
      }
    this.#settles(
      master.session.publish(envelope, fence?.ownership),
      full.length > 0 ? QueueFullError : undefined,
    );
  }

  claim(master: Master | undefined, name: string | undefined, reaction: Reaction): void {
    if (!master || name === undefined) return;
    const queue = this.queues.get(name);
    const sink = new ClaimRecord();
    if (!queue) return void this.#settles(master.session.claim(name, sink), QueueNotFoundError);
    const claim: ClaimModel = {
      master: master.name,
      queue,
      ownership: undefined,
      boundAt: Infinity,
      told: { granted: 0, lost: 0 },
      isOpen: true,
      real: undefined,
    };
    for (const claims of [master.claims, this.claims, queue.line]) claims.push(claim);
    this.#idle(queue);
    const claimed = master.session.claim(name, {
      granted: (ownership) => {
        this.#checked(() => this.#granted(claim, ownership));
        reaction({ claim, queue });
      },
      standby: (holder) => {
        this.#checked(() => {
          assert(queue.line.includes(claim));
          const { owner, epoch, id } = queue;
          assert.deepEqual(holder, { owner: owner?.master, epoch, queueId: id });
          assert(owner!.boundAt <= this.disk.safe, 'told before the bindings are safe');
        });
        reaction({ claim, queue });
      },
      fenced: () => this.#checked(() => assert.fail('nothing fences here')),
      full: (waiting) =>
        this.#checked(() => {
          assert.equal(queue.owner, claim);
          assert(waiting >= queue.spec.limit!.messages);
        }),
      lost: () => {
        claim.told.lost++;
        this.#checked(() => assert.equal(claim.isOpen, false));
        reaction({ queue });
      },
    });
    this.#settles(claimed.then((real) => (claim.real = real)));
  }

  #granted(claim: ClaimModel, ownership: Ownership): void {
    const { queue } = claim;
    assert(!queue.owner);
    assert(queue.line.shift() === claim, 'the first in line');
    assert(ownership.epoch > queue.epoch);
    assert.equal(this.disk.safeEpochs.get(queue.id), ownership.epoch, 'granted before it is safe');
    assert.equal(String(ownership.checkpoint), queue.checkpoint);
    assert.equal(ownership.valid(), true);
    assert.equal(++claim.told.granted, 1);
    queue.epoch = ownership.epoch;
    queue.owner = claim;
    claim.ownership = ownership;
  }

  consume(master: Master | undefined, name: string | undefined, prefetch: number, reaction: Reaction): void {
    if (!master || name === undefined) return;
    const queue = this.queues.get(name);
    const claim = queue && master.claims.findLast((each) => each.queue === queue && each.ownership);
    const isExclusive = queue?.spec.ownership === 'exclusive';
    const options = { prefetch, ownership: isExclusive ? claim?.ownership : undefined };
    const error = !queue ? QueueNotFoundError : isExclusive && !this.#owns(claim) ? FencedError : undefined;
    // One consumer for each ownership: two of them have no order to keep.
    if (!error && isExclusive && queue.consumers.length > 0) return;
    if (error || !queue)
      return void this.#settles(master.session.consume(name, options, new ConsumerRecord()), error);
    const consumer: ConsumerModel = {
      queue,
      claim: isExclusive ? claim : undefined,
      prefetch,
      held: [],
      lost: 0,
      isOpen: true,
      real: undefined,
    };
    for (const consumers of [master.consumers, this.consumers, queue.consumers]) consumers.push(consumer);
    this.#idle(queue);
    const consumed = master.session.consume(name, options, {
      delivery: (delivery) => {
        const copy = this.#checked(() => this.#delivered(consumer, delivery));
        if (copy) reaction({ queue, claim, consumer, handed: { delivery, consumer, copy } });
      },
      lost: () => {
        consumer.lost++;
        this.#checked(() => assert.equal(consumer.isOpen, false));
        reaction({ queue });
      },
    });
    this.#settles(consumed.then((real) => (consumer.real = real)));
  }

  #delivered(consumer: ConsumerModel, delivery: Delivery): Copy {
    const { queue } = consumer;
    assert.equal(consumer.isOpen, true);
    if (consumer.claim) assert(queue.owner === consumer.claim);
    assert(consumer.held.length < consumer.prefetch);
    const copy = queue.ready.shift();
    assert.equal(`${delivery.envelope.id}/${delivery.redrives}`, copy?.key);
    const { attempts, redelivered, redrives, writtenAt } = copy!;
    assert.deepEqual(
      [delivery.attempt, delivery.redelivered, delivery.redrives],
      [attempts + 1, redelivered, redrives],
    );
    assert(this.disk.safe >= writtenAt, 'delivered before it is safe');
    consumer.held.push(copy!);
    this.handed.push({ delivery, consumer, copy: copy! });
    return copy!;
  }

  bind(claim: ClaimModel | undefined, patterns: string[]): void {
    if (!claim?.ownership) return;
    const { queue } = claim;
    if (!this.#owns(claim)) return void this.#settles(claim.ownership.bind(patterns), FencedError);
    queue.bindings = new Set(patterns);
    claim.boundAt = Math.min(claim.boundAt, this.disk.written + 1);
    this.#settles(claim.ownership.bind(patterns));
  }

  save(claim: ClaimModel | undefined, settled: (Handed | undefined)[]): void {
    if (!claim?.ownership) return;
    const mine = settled.filter((handed) => handed?.consumer.claim === claim) as Handed[];
    const checkpoint = Uint8Array.of(this.#published % 256);
    const deliveries = mine.map(({ delivery }) => delivery);
    if (!this.#owns(claim))
      return void this.#settles(claim.ownership.save(checkpoint, deliveries), FencedError);
    claim.queue.checkpoint = String(checkpoint);
    for (const handed of mine) if (this.#take(handed)) claim.queue.count.acked++;
    this.#settles(claim.ownership.save(checkpoint, deliveries));
  }

  begin(handed: Handed | undefined): void {
    if (!handed) return;
    const { copy, delivery } = handed;
    const attempt = copy.attempts + 1;
    if (this.#isHeld(handed)) Object.assign(copy, { attempts: attempt, begun: true });
    void delivery.begin(attempt);
  }

  cutOff(handed: Handed | undefined): void {
    if (!handed) return;
    // Only what has begun and still runs can be cut off.
    if (this.#isHeld(handed) && !(handed.copy.begun && handed.copy.attempts >= handed.delivery.attempt))
      return;
    if (this.#isHeld(handed)) handed.copy.attempts--;
    handed.delivery.cutOff();
  }

  ack(handed: Handed | undefined): void {
    if (!handed) return;
    if (this.#take(handed)) handed.consumer.queue.count.acked++;
    handed.delivery.ack();
  }

  reject(handed: Handed | undefined): void {
    if (!handed) return;
    const isHeld = this.#take(handed);
    if (isHeld) handed.consumer.queue.letters.push(handed.copy);
    const letter = { reason: 'rejected', error: 'no', attempts: 1 } as const;
    this.#settles(handed.delivery.reject(letter), isHeld ? undefined : FencedError);
  }

  closeConsumer(consumer: ConsumerModel | undefined): void {
    if (!consumer?.real) return;
    this.#giveBack(consumer, 'close');
    this.#settles(consumer.real.close());
  }

  endClaim(claim: ClaimModel | undefined, how: 'release' | 'withdraw'): void {
    if (!claim?.real) return;
    const { queue, ownership, real } = claim;
    // A proper stop closes the consumer first.
    if (how === 'release' && queue.consumers.some((consumer) => consumer.claim === claim)) return;
    this.#withdraw(claim);
    this.#settles(how === 'release' && ownership ? ownership.release() : real.withdraw());
  }

  endSession(slot: number, how: 'close' | 'crash'): void {
    const master = this.masters[slot];
    if (!master) return;
    this.masters[slot] = undefined;
    for (const { model } of master.listeners) model.isOpen = false;
    for (const consumer of master.consumers) this.#giveBack(consumer, how);
    for (const claim of master.claims) this.#withdraw(claim);
    // What it was not told by now it is not told any more.
    for (const claim of master.claims) claim.told.lost = Math.max(0, claim.told.lost);
    for (const consumer of master.consumers) consumer.lost = Math.max(0, consumer.lost);
    if (how === 'close') this.#settles(master.session.close());
    else master.session.drop(new Error('The connection broke.'));
  }

  delete(master: Master | undefined, name: string, whileInUse: boolean): void {
    if (!master) return;
    const queue = this.queues.get(name);
    const error = !queue ? QueueNotFoundError : queue.inUse && !whileInUse ? QueueInUseError : undefined;
    if (queue && !error) this.#gone(queue);
    this.#settles(master.session.deleteQueue(name, { whileInUse }), error);
  }

  redrive(master: Master | undefined, name: string, which: number): void {
    const queue = this.queues.get(name);
    if (!master || !queue) return;
    const one = which % 2 === 0 ? pick(queue.letters, which) : undefined;
    const letters = one ? [one] : [...queue.letters];
    for (const letter of letters) {
      queue.letters.splice(queue.letters.indexOf(letter), 1);
      queue.append(letter.envelope, letter.redrives + 1, this.disk.written + 1);
    }
    const redriven = master.session.redrive(name, one && [`${name}/${one.key}`]);
    this.#settles(redriven.then((count) => assert.equal(count, letters.length)));
  }

  drop(master: Master | undefined, name: string): void {
    const queue = this.queues.get(name);
    if (!master || !queue) return;
    const count = queue.letters.splice(0).length;
    queue.count.dropped += count;
    this.#settles(master.session.dropDeadLetters(name, undefined).then((told) => assert.equal(told, count)));
  }

  listen(master: Master | undefined, pattern: string, reaction: Reaction): void {
    if (!master) return;
    const model: ListenerModel = { patterns: new Set(), expected: new Map(), isOpen: true };
    const listened = master.session.listen({
      message: ({ id }) => {
        this.#checked(() => {
          assert.equal(model.isOpen, true);
          assert.equal(model.expected.get(id.slice(0, id.lastIndexOf('-')))?.shift(), id);
        });
        reaction({});
      },
      missed: () => {},
    });
    this.#settles(listened);
    const listener = {
      model,
      // The queue comes with a promise: what is bound counts from the turn in which it is bound.
      bind: (added: string) =>
        this.#settles(
          listened.then((queue) => {
            if (!model.isOpen) return;
            model.patterns.add(added);
            return queue.bind(added);
          }),
        ),
      close: () => {
        model.isOpen = false;
        master.listeners.splice(master.listeners.indexOf(listener), 1);
        this.#settles(listened.then((queue) => queue.close()));
      },
    };
    master.listeners.push(listener);
    listener.bind(pattern);
  }

  async #elapse(ms: number): Promise<void> {
    await this.env.clock.advance(ms);
    for (const queue of this.queues.values()) {
      if (queue.spec.expiresMs === undefined || queue.idleSince === undefined) continue;
      if (this.env.clock.now() - queue.idleSince >= EXPIRES_MS) this.#gone(queue);
    }
  }

  #owns(claim: ClaimModel | undefined): boolean {
    return claim !== undefined && claim.queue.owner === claim;
  }

  #isHeld({ consumer, copy }: Handed): boolean {
    return consumer.held.includes(copy);
  }

  #take(handed: Handed): boolean {
    const { consumer, copy } = handed;
    if (!this.#isHeld(handed)) return false;
    consumer.held = consumer.held.filter((each) => each !== copy);
    return true;
  }

  #giveBack(consumer: ConsumerModel, how: 'close' | 'crash'): void {
    if (!consumer.isOpen) return;
    const { queue } = consumer;
    consumer.isOpen = false;
    for (const copy of consumer.held) {
      if (copy.begun || how === 'crash') copy.redelivered = true;
      copy.begun = false;
    }
    queue.ready.push(...consumer.held);
    queue.ready.sort((a, b) => a.position - b.position);
    consumer.held = [];
    queue.consumers.splice(queue.consumers.indexOf(consumer), 1);
    this.#idle(queue);
  }

  #withdraw(claim: ClaimModel): void {
    const { queue } = claim;
    claim.isOpen = false;
    for (const consumer of [...queue.consumers])
      if (consumer.claim === claim) this.#giveBack(consumer, 'crash');
    if (queue.line.includes(claim)) queue.line.splice(queue.line.indexOf(claim), 1);
    if (queue.owner === claim) queue.owner = undefined;
    this.#idle(queue);
  }

  #gone(queue: QueueModel): void {
    this.queues.delete(queue.spec.name);
    for (const claim of [...queue.line, ...(queue.owner ? [queue.owner] : [])]) {
      claim.isOpen = false;
      claim.told.lost--;
    }
    for (const consumer of queue.consumers) {
      consumer.isOpen = false;
      consumer.held = [];
      if (!consumer.claim) consumer.lost--;
    }
    queue.line.length = queue.consumers.length = 0;
    queue.owner = undefined;
  }

  #idle(queue: QueueModel): void {
    if (queue.inUse) queue.idleSince = undefined;
    else queue.idleSince ??= this.env.clock.now();
  }

  /** Sinks never throw: what a check says is kept for `check`. */
  #checked<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (failure) {
      this.#failures.push(failure);
      return undefined;
    }
  }

  /** The promise settles in the end, and like this. */
  #settles(promise: Promise<unknown>, error?: new (...args: never[]) => Error): void {
    this.#open++;
    promise.then(
      () => {
        this.#open--;
        if (error) this.#failures.push(new Error(`Resolved, but ${error.name} was expected.`));
      },
      (thrown: unknown) => {
        this.#open--;
        if (!error || !(thrown instanceof error)) this.#failures.push(thrown);
      },
    );
  }

  check(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
    assert.deepEqual([...this.hub.queues.keys()].sort(), [...this.queues.keys()].sort());
    for (const [name, model] of this.queues) this.#checkQueue(model, this.hub.queues.get(name)!);
    // -1 would be one that was not told, 1 one that was told though nothing happened.
    for (const { told } of this.claims) assert.equal(told.lost, 0);
    for (const { lost } of this.consumers) assert.equal(lost, 0);
    for (const { model } of this.masters.flatMap((master) => master?.listeners ?? []))
      assert.deepEqual([...model.expected.values()].flat(), []);
    if (this.disk.isFlushed) assert.equal(this.#open, 0, 'promises that never settle');
  }

  #checkQueue(model: QueueModel, queue: DurableQueue): void {
    const { ready, held, letters, count } = model;
    const present = ready.length + held.length + letters.length;
    assert.equal(count.accepted, count.acked + count.dropped + present, 'conservation');
    assert.equal(queue.depth, ready.length + held.length);
    assert.deepEqual(
      [...queue.letters.keys()].sort(),
      letters.map(({ key }) => `${model.spec.name}/${key}`).sort(),
    );
    const { bindings, epoch, checkpoint } = this.disk.queues.get(model.id)!;
    assert.deepEqual(bindings, [...model.bindings].sort());
    assert.equal(checkpoint, model.checkpoint);
    const copies = [...ready, ...held].sort((a, b) => a.position - b.position);
    assert.deepEqual(
      [...this.disk.entries.get(model.id)!.values()],
      copies.map(({ key, attempts, redelivered }) => `${key} ${attempts} ${redelivered}`),
    );
    assert.deepEqual([...this.disk.letters.get(model.id)!].sort(), [...queue.letters.keys()].sort());
    if (!this.disk.isFlushed) return;
    assert.equal(queue.owner?.master, model.owner?.master);
    // One that was granted and withdrew before it was told leaves a gap.
    if (model.owner) assert.equal(epoch, model.epoch);
    else assert(epoch >= model.epoch);
    if (model.line.length > 0) assert(model.owner, 'somebody owns it');
    if (ready.length > 0)
      for (const consumer of model.consumers) assert.equal(consumer.held.length, consumer.prefetch);
  }

  /** Three masters, who do something already: otherwise most commands would find nothing to do. */
  start(): void {
    for (const slot of [0, 1, 2]) this.connect(slot);
    const [one, other] = this.masters;
    for (const spec of SPECS) {
      this.declare(one, spec);
      for (const master of [one, other]) this.claim(master, spec.name, () => {});
    }
    this.disk.flush();
    for (const claim of this.claims) if (claim.ownership) this.bind(claim, ['#']);
    for (const { name } of SPECS) this.consume(one, name, 3, () => {});
    this.consume(other, 'shared', 2, () => {});
  }

  /** Ends everything: then nothing is left. */
  async end(): Promise<void> {
    this.#reactions = 0;
    for (const slot of [0, 1, 2]) this.endSession(slot, slot === 1 ? 'crash' : 'close');
    while (!this.disk.isFlushed) this.disk.flush();
    await settle();
    this.check();
    this.connect(0);
    for (const name of [...this.queues.keys()]) this.delete(this.masters[0], name, false);
    this.publish(this.masters[0], 'a', undefined);
    this.endSession(0, 'close');
    while (!this.disk.isFlushed) this.disk.flush();
    await settle();
    this.check();
    assert.deepEqual([this.disk.queues.size, this.hub.members.size, this.env.clock.pending], [0, 0, 0]);
  }
}

const command = (kinds: number): fc.Arbitrary<Command> =>
  fc.tuple(fc.integer({ min: 0, max: kinds }), fc.nat(99), fc.nat(99), fc.nat(99));

/** So many turns that whatever needs no flush has happened. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

function pick<T>(list: readonly T[], at: number): T | undefined {
  // The last ones are the most interesting.
  return list[list.length - 1 - (at % Math.max(1, list.length))];
}

function matches(patterns: Iterable<string>, topic: string): boolean {
  return [...patterns].some((pattern) => topicMatches(pattern, topic));
}

describe('Hub', () => {
  for (const atOnce of [true, false])
    it(`does what a plain model allows, ${atOnce ? 'in memory' : 'with a journal that flushes now and then'}`, async () => {
      const kinds = new World(atOnce).commands.length;
      const commands = fc.array(command(kinds), { minLength: 1, maxLength: 120, size: 'max' });
      await fc.assert(
        fc.asyncProperty(commands, async (list) => {
          const world = new World(atOnce);
          world.start();
          for (const each of list) await world.run(each);
          await world.end();
        }),
        { numRuns: RUNS },
      );
    }, 120_000);

  it('keeps one order everywhere when a sink publishes from within the call', async () => {
    const session = await connect(newHub());
    const texts: string[][] = [[], [], [], []];
    const sinkOf = (heard: string[]) => ({
      message: ({ id, topic }: Envelope) => {
        heard.push(id);
        if (topic === 'question') void session.publish(envelopeOf(`answer to ${id}`, 'answer'));
      },
      missed: () => {},
    });
    for (const heard of texts.slice(0, 2)) await (await session.listen(sinkOf(heard))).bind('#');
    for (const [at, heard] of texts.slice(2).entries()) {
      const ownership = await own(session, `queue-${at}`);
      await session.consume(
        `queue-${at}`,
        { prefetch: 100, ownership },
        {
          delivery: ({ envelope }) => {
            heard.push(envelope.id);
            if (envelope.topic === 'question')
              void session.publish(envelopeOf(`${at} of ${envelope.id}`, 'answer'));
          },
          lost: () => {},
        },
      );
    }
    await session.publish(envelopeOf('one', 'question'));
    await session.publish(envelopeOf('two', 'question'));
    assert.equal(texts[0]!.length, 10);
    for (const heard of texts) assert.deepEqual(heard, texts[0]);
  });

  it('lets a sink answer every message with another, for as long as it likes', async () => {
    const session = await connect(newHub());
    let heard = 0;
    const queue = await session.listen({
      message: () => {
        if (++heard < 20_000) void session.publish(envelopeOf('again'));
      },
      missed: () => {},
    });
    await queue.bind('#');
    await session.publish(envelopeOf('first'));
    assert.equal(heard, 20_000);
  });

  it('keeps each of several dead letters with one id, which foreign messages may have', async () => {
    const session = await connect(newHub());
    const ownership = await own(session, 'queue');
    const sink = new ConsumerRecord();
    await session.consume('queue', { prefetch: 10, ownership }, sink);
    for (const data of ['one', 'other'])
      await session.publish({ ...envelopeOf('same'), payload: payloadOf(data) });
    for (const delivery of sink.deliveries)
      await delivery.reject({ reason: 'rejected', error: 'no', attempts: 1 });
    assert.equal((await collect(session.deadLetters('queue'))).length, 2);
    assert.equal(await session.redrive('queue', undefined), 2);
    assert.deepEqual(sink.data, ['one', 'other', 'one', 'other']);
  });

  it('has epochs that grow, and are not 0, though the wall clock says 1970', async () => {
    const { clock } = virtualEnvironment();
    clock.shiftWall(-clock.wall());
    const session = await connect(newHub({ ...systemEnvironment, clock }));
    const epochs: number[] = [];
    for (let grants = 0; grants < 3; grants++) {
      const ownership = await own(session, 'queue');
      epochs.push(ownership.epoch);
      await ownership.release();
    }
    assert(epochs[0]! > 0 && epochs[1]! > epochs[0]! && epochs[2]! > epochs[1]!, epochs.join());
  });

  it('keeps a checkpoint as it was when it was saved', async () => {
    const session = await connect(newHub());
    const checkpoint = Uint8Array.of(1, 2, 3);
    const ownership = await own(session, 'queue');
    await ownership.save(checkpoint, []);
    checkpoint[0] = 9;
    await ownership.release();
    // Neither side's array is the hub's.
    for (let owners = 0; owners < 2; owners++) {
      const found = await own(session, 'queue');
      assert.deepEqual(found.checkpoint, Uint8Array.of(1, 2, 3));
      found.checkpoint[0] = 9;
      await found.release();
    }
  });

  it('saves and acks as one, whatever a sink does in between', async () => {
    const hub = newHub();
    const [dies, next] = [await connect(hub, 'dies'), await connect(hub, 'next')];
    const ownership = await own(dies, 'queue');
    const sink = new ConsumerRecord((delivery) => {
      if (delivery.envelope.id === '3') dies.drop(new Error('The process has died.'));
    });
    await dies.consume('queue', { prefetch: 2, ownership }, sink);
    for (const id of ['1', '2', '3']) await dies.publish(envelopeOf(id)).catch(() => {});
    await ownership.save(Uint8Array.of(2), sink.deliveries.slice(0, 2)).catch(() => {});
    const successor = await own(next, 'queue');
    const left = new ConsumerRecord();
    await next.consume('queue', { prefetch: 10, ownership: successor }, left);
    assert.deepEqual(successor.checkpoint, Uint8Array.of(2));
    assert.deepEqual(
      left.deliveries.map(({ envelope }) => envelope.id),
      ['3'],
    );
  });

  it('tells nobody to stand by who owns the queue by then', async () => {
    const hub = newHub();
    const [one, two, three] = [await connect(hub, '1'), await connect(hub, '2'), await connect(hub, '3')];
    await one.declareQueue(specOf('queue'));
    const told = [new ClaimRecord(), new ClaimRecord(() => void one.close()), new ClaimRecord()] as const;
    await one.claim('queue', told[0]);
    await two.claim('queue', told[1]);
    await three.claim('queue', told[2]);
    await told[0].ownership!.bind(['#']).catch(() => {});
    assert.deepEqual(told[1].told, ['standby', 'granted']);
    await told[1].ownership!.bind(['#']);
    assert.deepEqual(told[2].holders.map(({ owner }) => owner).at(-1), '2');
  });

  it('tells nobody of a loss whose session has ended by then', async () => {
    const hub = newHub();
    const [one, other] = [await connect(hub, 'one'), await connect(hub, 'other')];
    await one.declareQueue(specOf('queue', { ownership: 'shared' }));
    const sinks = [new ConsumerRecord(), new ConsumerRecord()] as const;
    sinks[0].lost = () => other.drop(new Error('The process has died.'));
    await one.consume('queue', { prefetch: 1, ownership: undefined }, sinks[0]);
    await other.consume('queue', { prefetch: 1, ownership: undefined }, sinks[1]);
    const told = new ClaimRecord();
    await other.claim('queue', told);
    await one.deleteQueue('queue', { whileInUse: true });
    assert.deepEqual([sinks[1].losses, told.told], [[], ['granted']]);
  });

  it('goes on after a sink that throws, though none may', async () => {
    const session = await connect(newHub());
    const broken = await session.listen({
      message: () => {
        throw new Error('This is no sink.');
      },
      missed: () => {},
    });
    await broken.bind('a');
    // However the call ends.
    await Promise.resolve()
      .then(() => session.publish(envelopeOf('1', 'a')))
      .catch(() => {});
    await broken.close();
    const sink = new TransientRecord();
    await (await session.listen(sink)).bind('b');
    await session.publish(envelopeOf('2', 'b'));
    assert.deepEqual(sink.data, ['2']);
  });

  it('lets a shared queue be consumed whoever keeps it', async () => {
    const session = await connect(newHub());
    await session.declareQueue(specOf('queue', { ownership: 'shared' }));
    const told = new ClaimRecord();
    await session.claim('queue', told);
    await told.ownership!.bind(['#']);
    const sink = new ConsumerRecord();
    await session.consume('queue', { prefetch: 1, ownership: told.ownership }, sink);
    await told.ownership!.release();
    await session.publish(envelopeOf('1'));
    assert.deepEqual(sink.data, ['1']);
  });

  it('leaves bindings as they were when one of the new ones is no pattern', async () => {
    const session = await connect(newHub());
    const ownership = await own(session, 'queue');
    await assert.rejects(ownership.bind(['a', '..']));
    await ownership.bind(['b']);
    assert.deepEqual((await session.queues())[0]!.bindings, ['b']);
    await session.deleteQueue('queue', { whileInUse: true });
  });

  it('waits for months if that is what a queue says', async () => {
    const { clock } = virtualEnvironment();
    const delays: number[] = [];
    const setTimeout = (callback: () => void, delayMs: number) => {
      delays.push(delayMs);
      return clock.setTimeout(callback, delayMs);
    };
    const { now, wall, clearTimeout } = clock;
    const environment = { ...systemEnvironment, clock: { now, wall, clearTimeout, setTimeout } };
    const session = await connect(newHub(environment));
    const day = 24 * 3_600_000;
    await session.declareQueue(specOf('queue', { expiresMs: 90 * day }));
    await clock.advance(90 * day - 1);
    assert.equal(await session.findQueue('queue'), true);
    await clock.advance(1);
    assert.equal(await session.findQueue('queue'), false);
    // Node would take a longer delay for 1 ms.
    assert(Math.max(...delays) < 2 ** 31);
  });
});

function newHub(environment: Environment = virtualEnvironment()): Hub {
  return new Hub(environment, noJournal);
}

async function connect(hub: Hub, master = 'master'): Promise<HubSession> {
  return new HubSession(hub, master, 'incarnation', () => Promise.resolve());
}

/** Declares, claims and binds everything. */
async function own(session: HubSession, queue: string): Promise<Ownership> {
  await session.declareQueue(specOf(queue));
  const told = new ClaimRecord();
  await session.claim(queue, told);
  await told.ownership!.bind(['#']);
  return told.ownership!;
}

function payloadOf(data: unknown): Payload {
  return Payload.of(data, { maxBytes: 100 });
}

function envelopeOf(id: string, topic = 'a.b'): Envelope {
  return {
    id,
    topic,
    time: 0,
    source: '',
    headers: {},
    payload: payloadOf(id),
    origin: undefined,
    resent: false,
    fence: undefined,
  };
}
