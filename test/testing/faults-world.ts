import assert from 'node:assert/strict';
import type { DeliveryContext, Message } from '../../src/index.js';
import { Ledger } from '../../src/testing/ledger.js';
import { createTestBroker } from '../../src/testing/test-broker.js';
import { createTestMaster, type TestMaster } from '../../src/testing/test-master.js';

export const MASTERS = 3;

/** What goes wrong next, with one of the masters. */
export type Step = { readonly who: number } & (
  | { readonly type: 'publish'; readonly count: number }
  | { readonly type: 'drop' | 'cut off'; readonly noticedAfterMs: number }
  | { readonly type: 'delay'; readonly maxMs: number }
  | { readonly type: 'lose confirms' | 'lose acks' | 'duplicate'; readonly count: number }
  | { readonly type: 'refuse' | 'block' | 'clear' | 'freeze' | 'thaw' | 'crash' }
  | { readonly type: 'pass'; readonly ms: number }
);

const PATIENT = { attemptsMax: 1_000_000, minDelayMs: 10, maxDelayMs: 1_000 };

/**
 * Masters that publish, and consume an exclusive and a shared queue, while anything goes wrong; one that nothing happens to
 * sees what the owners of the exclusive queue publish. The ledger holds what was confirmed against what was handled.
 */
export class FaultsWorld {
  readonly ledger = new Ledger();
  readonly broker;
  readonly #masters: TestMaster[] = [];
  readonly #gone: TestMaster[] = [];
  readonly #publishes: Promise<void>[] = [];
  #witness!: TestMaster;
  /** What the ledger does not judge. */
  readonly #complaints: string[] = [];
  #published = 0;
  /** What a transient subscriber of the witness heard, by producer. */
  readonly #heard = new Map<string, number>();

  private constructor(seed: number) {
    this.broker = createTestBroker({ seed });
  }

  static async open(seed: number): Promise<FaultsWorld> {
    const world = new FaultsWorld(seed);
    const { broker } = world;
    world.#witness = await createTestMaster({ broker, name: 'witness' });
    await world.#witness.subscribe('effect.*', (message) => world.#effect(message));
    await world.#witness.subscribe('a', (message) => world.#hear(message));
    for (let at = 0; at < MASTERS; at++) world.#masters.push(await world.#join());
    return world;
  }

  async take(step: Step): Promise<void> {
    const master = this.#masters[step.who]!;
    const { faults } = master;
    switch (step.type) {
      case 'publish':
        for (let at = 0; at < step.count; at++) this.#publish(master);
        break;
      case 'drop':
        faults.dropSession(step);
        break;
      case 'cut off':
        faults.cutOff(step);
        break;
      case 'delay':
        faults.delay({ toBrokerMs: [0, step.maxMs], fromBrokerMs: [0, step.maxMs] });
        break;
      case 'lose confirms':
        faults.loseConfirms(step.count);
        break;
      case 'lose acks':
        faults.loseAcks(step.count);
        break;
      case 'duplicate':
        faults.duplicateDeliveries(step.count);
        break;
      case 'refuse':
        faults.refusePublishes();
        break;
      case 'block':
        faults.blockPublishes();
        break;
      case 'clear':
        faults.clear();
        break;
      case 'freeze':
      case 'thaw':
        master[step.type]();
        break;
      case 'crash':
        master.crash();
        faults.clear();
        this.#gone.push(master);
        this.#masters[step.who] = await this.#join();
        break;
      case 'pass':
        await this.broker.clock.advance(step.ms);
    }
    await this.broker.clock.advance(0);
  }

  /** Nothing goes wrong any more; what was lost on the way comes again with a new session. */
  async heal(): Promise<void> {
    for (const master of this.#masters) {
      master.faults.clear();
      master.thaw();
    }
    await this.broker.idle({ patienceMs: 300 });
    for (const { faults } of this.#masters) faults.dropSession();
    await this.broker.until(Promise.all(this.#publishes));
    await this.broker.idle({ patienceMs: 300 });
    assert.deepEqual(
      (await this.#witness.queues()).map(({ depth }) => depth),
      [0, 0],
    );
    assert.deepEqual([...this.ledger.evidence(), ...this.#complaints], []);
  }

  async close(): Promise<void> {
    for (const master of [...this.#gone, ...this.#masters, this.#witness])
      await master[Symbol.asyncDispose]();
    assert.equal(this.broker.clock.pending, 0);
  }

  async #join(): Promise<TestMaster> {
    const { broker } = this;
    const master = await createTestMaster({ broker, drainTimeoutMs: 100 });
    const options = { bindings: ['a'], retry: PATIENT, concurrency: 1 };
    const opened = [
      master.consume('exclusive', options, async (message, delivery) => {
        await delivery.publish(['effect', master.name], { epoch: delivery.epoch });
        this.#handled(message, delivery);
      }),
      master.consume('shared', { ...options, ownership: 'shared', concurrency: 2 }, (...call) =>
        this.#handled(...call),
      ),
    ];
    await broker.until(Promise.all(opened));
    return master;
  }

  #publish(master: TestMaster): void {
    const sequence = ++this.#published;
    const { name: producer } = master;
    const published = master.publish('a', sequence, { timeoutMs: 600_000 }).then(
      ({ id }) => {
        const queues = ['exclusive', 'shared'];
        this.ledger.record({ type: 'confirmed', id, topic: 'a', producer, sequence, queues });
      },
      // Refused, or of a master that is gone: nothing is owed.
      () => {},
    );
    this.#publishes.push(published);
  }

  #handled({ id }: Message, { queue, master, epoch, attempt, redelivered }: DeliveryContext): void {
    const record = { queue: queue!, id, master, epoch, attempt, redelivered, resent: false };
    this.ledger.record({ type: 'handled', ...record });
  }

  #effect({ data, words }: Message): void {
    const { epoch } = data as { epoch: number };
    this.ledger.record({ type: 'effect', queue: 'exclusive', epoch, master: words[1]!, observer: 'witness' });
  }

  /** Once each, and in the order of each producer. */
  #hear({ data, source }: Message): void {
    const sequence = data as number;
    // Thrown here it would be the failure of a handler.
    if (sequence <= (this.#heard.get(source) ?? 0))
      this.#complaints.push(`${source}: ${sequence} was heard late, or twice`);
    this.#heard.set(source, sequence);
  }
}
