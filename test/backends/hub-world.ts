import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Delivery, Ownership, QueueSpec } from '../../src/backend.js';
import type { DurableQueue } from '../../src/backends/hub/durable-queue.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { Hub } from '../../src/backends/hub/hub.js';
import { FencedError, QueueFullError, QueueInUseError, QueueNotFoundError } from '../../src/model/errors.js';
import { topicMatches } from '../../src/model/topic.js';
import { ClaimRecord, ConsumerRecord } from '../../src/testing/cases/records.js';
import { specOf } from '../../src/testing/cases/member.js';
import { virtualEnvironment } from '../../src/testing/virtual-clock.js';
import { Disk } from './hub-disk.js';
import {
  type Copy,
  QueueModel,
  type ClaimModel,
  type ConsumerModel,
  type ListenerModel,
  type Handed,
  type Master,
} from './hub-model.js';
import { envelopeOf } from './hub-envelopes.js';

/*
 * The hub against a plain model. The model does not say whom the hub serves next: it is told by the sinks, and checks
 * that what it is told may happen now. After each command, what should have happened has.
 */

export const TOPICS = ['a', 'b', 'a.b'];
export const PATTERNS = ['a', 'b', '#', 'a.*', '*'];
export const EXPIRES_MS = 1_000;
export const RUNS = 400;
export const SPECS: QueueSpec[] = [
  specOf('exclusive'),
  specOf('shared', { ownership: 'shared', limit: { messages: 4, onFull: 'drop-oldest' } }),
  specOf('expiring', { limit: { messages: 5, onFull: 'reject-publish' }, expiresMs: EXPIRES_MS }),
];

/** Numbers, from which each command takes what is there to be chosen from. */
export type Command = readonly [kind: number, one: number, other: number, third: number];

/** To what a sink reacts. */
export interface Told {
  readonly queue?: QueueModel | undefined;
  readonly claim?: ClaimModel | undefined;
  readonly consumer?: ConsumerModel | undefined;
  readonly handed?: Handed | undefined;
}
export type Reaction = (told: Told) => void;

export class World {
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
    const error = !queue
      ? QueueNotFoundError
      : isExclusive && !this.#owns(claim)
        ? FencedError
        : isExclusive && queue.consumers.length > 0
          ? QueueInUseError
          : undefined;
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
    // A set that is there already is not written again.
    if (!isDeepStrictEqual(queue.bindings, new Set(patterns)))
      queue.bindingsWrittenAt = this.disk.written + 1;
    queue.bindings = new Set(patterns);
    claim.boundAt = Math.min(claim.boundAt, queue.bindingsWrittenAt);
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
    const letter = { reason: 'rejected', error: 'no', attempts: 1, history: [] } as const;
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

export const command = (kinds: number): fc.Arbitrary<Command> =>
  fc.tuple(fc.integer({ min: 0, max: kinds }), fc.nat(99), fc.nat(99), fc.nat(99));

/** So many turns that whatever needs no flush has happened. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

export function pick<T>(list: readonly T[], at: number): T | undefined {
  // The last ones are the most interesting.
  return list[list.length - 1 - (at % Math.max(1, list.length))];
}

export function matches(patterns: Iterable<string>, topic: string): boolean {
  return [...patterns].some((pattern) => topicMatches(pattern, topic));
}
