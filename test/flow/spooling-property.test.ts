import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokerFullError, PayloadError, QueueFullError } from '../../src/model/errors.js';
import { DuplicateFilter } from '../../src/model/duplicates.js';
import type { Envelope } from '../../src/model/message.js';
import { FakeDisk, fence, SpoolingLab, type FakeSession } from './spooling-lab.js';

type Step =
  | { do: 'publish'; count: number; timeoutMs: number; isFenced: boolean }
  | { do: 'pass'; ms: number }
  | { do: 'connect' }
  | { do: 'hold' }
  | { do: 'confirm'; count: number }
  | { do: 'refuse'; at: number; how: 'queue' | 'broker' | 'good' }
  | { do: 'lose'; taken: number }
  | { do: 'flush' }
  | { do: 'fill'; messagesMax: number }
  | { do: 'crash' }
  | { do: 'stop'; isPatient: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      count: fc.integer({ min: 1, max: 6 }),
      timeoutMs: fc.constantFrom(20, 50, 100, 1_000),
      isFenced: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 30, 120, 2_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('connect' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hold' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('confirm' as const), count: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('refuse' as const),
      at: fc.integer({ min: 0, max: 3 }),
      how: fc.constantFrom('queue' as const, 'broker' as const, 'good' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('lose' as const), taken: fc.integer({ min: 0, max: 4 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('flush' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('fill' as const), messagesMax: fc.integer({ min: 0, max: 8 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop' as const), isPatient: fc.boolean() }) },
);

/** Everything that happens to one spool over the lives of its processes, and to the broker that gets its messages. */
class World {
  readonly disk = new FakeDisk();
  /** Copies that the broker has taken, in order. */
  readonly taken: Envelope[] = [];
  readonly confirmed = new Set<string>();
  readonly spooled = new Set<string>();
  unsettled = 0;
  lives = 0;
  lab!: SpoolingLab;

  constructor() {
    this.begin();
  }

  begin(): void {
    this.lab = new SpoolingLab(this.disk, { name: `life${++this.lives}`, window: 4, waitingMax: 12 });
  }

  get session(): FakeSession | undefined {
    return this.lab.session;
  }

  publish(timeoutMs: number, isFenced: boolean): void {
    const { lives } = this;
    this.unsettled += 1;
    this.lab.publish(timeoutMs, isFenced ? fence : undefined).then(
      ({ id, outcome }) => {
        // What a dead process would have said nobody has heard.
        if (lives !== this.lives) return;
        this.unsettled -= 1;
        this[outcome].add(id);
      },
      () => {
        if (lives === this.lives) this.unsettled -= 1;
      },
    );
  }

  take(count: number): void {
    const { session } = this;
    if (session) this.taken.push(...session.unanswered.slice(0, count).map(({ envelope }) => envelope));
  }

  async run(step: Step): Promise<void> {
    const { lab, session } = this;
    switch (step.do) {
      case 'publish':
        for (let at = 0; at < step.count; at++) this.publish(step.timeoutMs, step.isFenced);
        break;
      case 'pass':
        await lab.pass(step.ms);
        break;
      case 'connect':
        if (session) lab.outbox.open(session as never);
        else lab.connect();
        break;
      case 'hold':
        lab.outbox.hold();
        break;
      case 'confirm':
        this.take(step.count);
        session?.confirm(step.count);
        break;
      case 'refuse':
        session?.refuse(
          step.how === 'good'
            ? new PayloadError('never')
            : step.how === 'queue'
              ? new QueueFullError(['q'])
              : new BrokerFullError('full'),
          step.at,
        );
        break;
      case 'lose':
        this.take(step.taken);
        lab.disconnect();
        break;
      case 'flush':
        lab.spool.flush();
        break;
      case 'fill':
        lab.spool.messagesMax = step.messagesMax;
        break;
      case 'crash':
        this.take(2);
        lab.outbox.hold();
        this.unsettled = 0;
        this.begin();
        break;
      case 'stop':
        await this.stop(step.isPatient);
        break;
    }
    await this.lab.settle();
  }

  async stop(isPatient: boolean): Promise<void> {
    const { lab } = this;
    let end!: () => void;
    const deadline = new Promise<void>((resolve) => (end = resolve));
    const drained = lab.outbox.drain(deadline);
    let isDrained = false;
    void drained.then(() => (isDrained = true));
    await lab.settle();
    this.take(isPatient ? Infinity : 1);
    this.session?.confirm(isPatient ? Infinity : 1);
    if (isPatient) await lab.pass(10);
    end();
    while (!isDrained) await lab.flush();
    expect(this.unsettled, 'publishes that a stop has left open').toBe(0);
    this.begin();
  }

  /** A broker that takes everything, and time. */
  async heal(): Promise<void> {
    this.lab.spool.messagesMax = Infinity;
    this.lab.disconnect();
    this.lab.connect();
    for (let round = 0; round < 200; round++) {
      await this.lab.flush();
      this.take(Infinity);
      this.session!.confirm();
      await this.lab.flush();
      if (this.unsettled === 0 && this.lab.spool.messages === 0 && this.session!.unanswered.length === 0)
        return;
      await this.lab.pass(200);
    }
    throw new Error(
      `It does not drain: ${this.unsettled} wait, ${this.lab.spool.messages} are in the spool.`,
    );
  }

  judge(): void {
    const got = new Set(this.taken.map(({ id }) => id));
    const aside = new Set(this.disk.setAside);
    for (const id of [...this.confirmed, ...this.spooled])
      expect(got.has(id) || aside.has(id), `${id} was promised and is lost`).toBe(true);
    expect(this.disk.ids, 'left on the disk').toEqual([]);

    const unflagged = this.taken.filter(({ resent }) => !resent).map(({ id }) => id);
    expect(new Set(unflagged).size, 'an unflagged repeat').toBe(unflagged.length);

    const flagged = new Set(this.taken.filter(({ resent }) => resent).map(({ id }) => id));
    const last = new Map<string, number>();
    for (const { id, topic, origin } of this.taken) {
      if (flagged.has(id) || topic === 'under.a.fence') continue;
      const { producer, sequence } = origin!;
      expect(sequence, `${id} came too late`).toBeGreaterThan(last.get(producer) ?? 0);
      last.set(producer, sequence);
    }

    const filter = new DuplicateFilter({ producerMemoryMs: Infinity });
    const handled = this.taken.filter(({ origin }) => !filter.seen(origin!, 0)).map(({ id }) => id);
    expect(handled.sort(), 'what a consumer with a memory handles').toEqual([...got].sort());
  }

  /** When all is done and forgotten no number stays open. */
  async checkNumbers(): Promise<void> {
    await this.lab.pass(700_000);
    this.publish(1_000, false);
    const { envelope } = this.session!.unanswered.at(-1)!;
    expect(envelope.origin!.open).toEqual([[envelope.origin!.sequence, Infinity]]);
  }
}

describe('the outbox with a spool', () => {
  it('loses nothing that it has promised, keeps the order, and flags what it repeats, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const world = new World();
        for (const one of steps) await world.run(one);
        await world.heal();
        world.judge();
        await world.checkNumbers();
      }),
      { numRuns: Number(process.env.SPOOL_RUNS ?? 150) },
    );
  }, 600_000);
});
