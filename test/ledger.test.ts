import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger, type EffectRecord, type HandledRecord, type LedgerRecord } from '../src/testing/ledger.js';

/** What each process reports, in its order. */
type Histories = readonly (readonly LedgerRecord[])[];

const ORDERED = 'scheduler';
const SHARED = 'builders';
const QUEUES = [ORDERED, SHARED];

/** How one owner of the exclusive queue fares: so many it handles, of these so many are not acked when it crashes. */
interface Reign {
  readonly handles: number;
  readonly unacked: number;
}

interface Plan {
  /** The producer of each message, in the order in which the queues accepted them. */
  readonly producers: readonly number[];
  readonly reigns: readonly Reign[];
}

const plans: fc.Arbitrary<Plan> = fc.record({
  producers: fc.array(fc.nat(2), { minLength: 1, maxLength: 30 }),
  reigns: fc.array(fc.record({ handles: fc.nat(10), unacked: fc.nat(3) }), { maxLength: 5 }),
});

/** What happens when every promise is kept: each owner goes on behind the last ack, and flags what it gets again. */
function faithful({ producers, reigns }: Plan): Histories {
  const ids = producers.map((producer, index) => ({ producer: `p${producer}`, sequence: index + 1 }));
  const confirms = [0, 1, 2].map((producer) =>
    ids
      .filter((id) => id.producer === `p${producer}`)
      .map(({ producer: name, sequence }) => confirmed(`${name}-${sequence}`, name, sequence)),
  );
  const observed: EffectRecord[] = [];
  const owners: LedgerRecord[][] = [];
  let acked = 0;
  let begun = 0;
  for (const [index, { handles, unacked }] of [...reigns, { handles: Infinity, unacked: 0 }].entries()) {
    const epoch = 1_000 + index;
    const master = `m${index % 3}`;
    const end = Math.min(ids.length, acked + handles);
    const handlings = ids.slice(acked, end).map(({ producer, sequence }, offset) =>
      handled(ORDERED, `${producer}-${sequence}`, {
        master,
        epoch,
        redelivered: acked + offset < begun,
      }),
    );
    owners.push(handlings);
    observed.push(...handlings.map(() => effect(epoch, master)));
    begun = Math.max(begun, end);
    acked = Math.max(acked, end - unacked);
  }
  const builders = [0, 1, 2].map((builder) =>
    ids
      .filter((_, index) => index % 3 === builder)
      .map(({ producer, sequence }) => handled(SHARED, `${producer}-${sequence}`, { master: `m${builder}` })),
  );
  return [...confirms, ...owners, ...builders, observed];
}

function confirmed(id: string, producer: string, sequence: number): LedgerRecord {
  return { type: 'confirmed', id, topic: `changes.${sequence}.new`, producer, sequence, queues: QUEUES };
}

function handled(queue: string, id: string, rest: Partial<HandledRecord> = {}): HandledRecord {
  return {
    ...{ type: 'handled', queue, id, master: 'm0', attempt: 1, redelivered: false, resent: false },
    ...rest,
  };
}

function effect(epoch: number, master: string, observer = 'watcher'): EffectRecord {
  return { type: 'effect', queue: ORDERED, epoch, master, observer };
}

/** As the records of several processes arrive: lines of JSON, each process in its order, else in any. */
function arrive(histories: Histories, choices: Iterator<number, unknown>): Ledger {
  const ledger = new Ledger();
  const rest = histories.map((records) => [...records]).filter((records) => records.length > 0);
  while (rest.length > 0) {
    const at = (choices.next().value as number) % rest.length;
    ledger.record(JSON.parse(JSON.stringify(rest[at]!.shift())) as LedgerRecord);
    if (rest[at]!.length === 0) rest.splice(at, 1);
  }
  return ledger;
}

const choices = fc.infiniteStream(fc.nat(100));
const judge = (histories: Histories, order: Iterator<number, unknown>) =>
  arrive(histories, order).judge({ leftBehind: 0 });
const CLEAN = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };
const NOTHING = { published: 0, handled: 0, redelivered: 0, ...CLEAN };

/** The same histories without one record, with another in its place, or with more behind it. */
function replace(
  histories: Histories,
  wanted: LedgerRecord,
  ...by: (LedgerRecord | LedgerRecord[])[]
): Histories {
  return histories.map((records) => records.flatMap((record) => (record === wanted ? by.flat() : [record])));
}

function handlings(histories: Histories, queue: string): HandledRecord[] {
  return histories
    .flat()
    .filter((record) => record.type === 'handled' && record.queue === queue) as HandledRecord[];
}

/** A plan, one of its records, and an order of arrival. */
const check = (
  property: (histories: Histories, pick: number, order: Iterator<number, unknown>) => void,
): void =>
  fc.assert(
    fc.property(plans, fc.nat(), choices, (plan, pick, order) => property(faithful(plan), pick, order)),
  );

describe('the ledger finds nothing wrong', () => {
  it('with a history in which every promise was kept, in whatever order processes report it', () => {
    check((histories, _, order) => {
      const ledger = arrive(histories, order);
      const published = histories.flat().filter(({ type }) => type === 'confirmed').length;
      const redelivered = handlings(histories, ORDERED).filter((one) => one.redelivered).length;
      expect(ledger.judge({ leftBehind: 0 })).toEqual({
        published,
        handled: 2 * published,
        redelivered,
        ...CLEAN,
      });
      expect(ledger.outstanding).toBe(0);
      expect(ledger.evidence()).toEqual([]);
    });
  });

  it('when nothing was recorded', () => {
    expect(new Ledger().judge({ leftBehind: 0 })).toEqual(NOTHING);
  });

  it('with what no durable queue must have', () => {
    const ledger = new Ledger();
    ledger.record({ ...confirmed('p-1', 'p', 1), queues: [] } as LedgerRecord);
    expect(ledger.judge({ leftBehind: 0 })).toEqual({ ...NOTHING, published: 1 });
  });

  it('with a confirm that comes twice, or after a copy that was sent again', () => {
    const ledger = new Ledger();
    const once = confirmed('p-1', 'p', 1);
    ledger.record(handled(SHARED, 'p-1', { resent: true }));
    expect(ledger.judge({ leftBehind: 0 })).toEqual({ ...NOTHING, handled: 1, redelivered: 1 });
    ledger.record(once);
    ledger.record(once);
    expect(ledger.outstanding).toBe(1);
    expect(ledger.evidence()).toEqual([`${ORDERED}: p-1 (changes.1.new) was confirmed and never handled.`]);
    // Whoever handled it before did not live to say so.
    ledger.record(handled(ORDERED, 'p-1', { epoch: 7, redelivered: true }));
    expect(ledger.outstanding).toBe(0);
    expect(ledger.judge({ leftBehind: 0 })).toEqual({
      ...{ published: 1, handled: 2, redelivered: 2 },
      ...CLEAN,
    });
  });

  it('with a former owner that finishes what its successor has begun', () => {
    const ledger = new Ledger();
    for (const sequence of [1, 2, 3]) ledger.record(confirmed(`p-${sequence}`, 'p', sequence));
    ledger.record(handled(ORDERED, 'p-1', { epoch: 7, master: 'frozen' }));
    for (const [sequence, redelivered] of [
      [2, true],
      [3, false],
    ] as const)
      ledger.record(handled(ORDERED, `p-${sequence}`, { epoch: 8, master: 'next', redelivered }));
    ledger.record(handled(ORDERED, 'p-2', { epoch: 7, master: 'frozen' }));
    expect(ledger.queue(ORDERED)).toMatchObject({
      duplicated: 0,
      reordered: 0,
      twoOwners: 0,
      redelivered: 1,
    });
  });
});

describe('lost', () => {
  it('counts a message that was confirmed and that one of its queues never handled', () => {
    check((histories, pick, order) => {
      const all = handlings(histories, SHARED);
      const one = all[pick % all.length]!;
      const ledger = arrive(replace(histories, one), order);
      const { published, ...verdict } = ledger.judge({ leftBehind: 0 });
      expect(verdict).toMatchObject({ ...CLEAN, lost: 1, handled: 2 * published - 1 });
      expect(ledger.outstanding).toBe(1);
      expect(ledger.evidence()).toHaveLength(1);
      expect(ledger.evidence()[0]).toContain(`${SHARED}: ${one.id}`);
    });
  });

  it('shows so many of them as are asked for', () => {
    const ledger = new Ledger();
    for (let sequence = 1; sequence <= 30; sequence++)
      ledger.record(confirmed(`p-${sequence}`, 'p', sequence));
    expect(ledger.judge({ leftBehind: 0 })).toMatchObject({ published: 30, handled: 0, lost: 60 });
    expect(ledger.evidence()).toHaveLength(20);
    expect(ledger.evidence(3)).toHaveLength(3);
  });

  it('counts it for each queue', () => {
    check((histories, pick, order) => {
      const confirms = histories.flat().filter(({ type }) => type === 'confirmed');
      const { id } = confirms[pick % confirms.length] as { id: string };
      const without = histories.map((records) =>
        records.filter((record) => record.type !== 'handled' || record.id !== id),
      );
      expect(judge(without, order)).toMatchObject({ ...CLEAN, lost: 2 });
    });
  });
});

describe('duplicated', () => {
  it('counts a message that was handled again without a flag', () => {
    check((histories, pick, order) => {
      const all = handlings(histories, SHARED);
      const one = all[pick % all.length]!;
      const again = { ...one, master: 'another', attempt: 2 };
      expect(judge([...histories, [again]], order)).toMatchObject({ ...CLEAN, duplicated: 1 });
      const andAgain = [again, { ...again, attempt: 3 }];
      expect(judge([...histories, andAgain], order)).toMatchObject({ ...CLEAN, duplicated: 2 });
    });
  });

  it('counts a redelivery whose flag is missing', () => {
    check((histories, pick, order) => {
      const flagged = handlings(histories, ORDERED).filter((one) => one.redelivered);
      fc.pre(flagged.length > 0);
      const one = flagged[pick % flagged.length]!;
      // Flagged twice, the first flag may go: then one unflagged handling is left, and one is allowed.
      const unflagged = flagged.reduce(
        (result, same) =>
          same.id === one.id ? replace(result, same, { ...same, redelivered: false }) : result,
        histories,
      );
      const times = flagged.filter(({ id }) => id === one.id).length;
      expect(judge(unflagged, order)).toMatchObject({ ...CLEAN, duplicated: times });
    });
  });

  it('does not count a flagged one, nor one of which a copy was sent again', () => {
    check((histories, pick, order) => {
      const all = handlings(histories, SHARED);
      const one = all[pick % all.length]!;
      const flagged = { ...one, redelivered: true };
      expect(judge([...histories, [flagged]], order)).toMatchObject({ ...CLEAN, duplicated: 0 });
      const copies = [{ ...one, resent: true }, one];
      expect(judge([...histories, copies], order)).toMatchObject({ ...CLEAN, duplicated: 0 });
    });
  });
});

describe('reordered', () => {
  /** Two neighbours of one producer in one epoch that come for the first time. */
  function neighbours(histories: Histories): [HandledRecord, HandledRecord][] {
    const first = handlings(histories, ORDERED).filter((one) => !one.redelivered);
    const producerOf = ({ id }: HandledRecord) => id.split('-')[0];
    return first.flatMap((one, index) => {
      const next = first.slice(index + 1).find((other) => producerOf(other) === producerOf(one));
      return next && next.epoch === one.epoch ? [[one, next] as [HandledRecord, HandledRecord]] : [];
    });
  }

  const swap = (histories: Histories, one: LedgerRecord, other: LedgerRecord): Histories =>
    histories.map((records) =>
      records.map((record) => (record === one ? other : record === other ? one : record)),
    );

  it('counts a message that its owner handled behind a later one of the same producer', () => {
    check((histories, pick, order) => {
      const pairs = neighbours(histories);
      fc.pre(pairs.length > 0);
      const [one, next] = pairs[pick % pairs.length]!;
      expect(judge(swap(histories, one, next), order)).toMatchObject({ ...CLEAN, reordered: 1 });
    });
  });

  it('counts a message that a later owner handled first though it is older', () => {
    const ledger = new Ledger();
    for (const sequence of [1, 2, 3]) ledger.record(confirmed(`p-${sequence}`, 'p', sequence));
    ledger.record(handled(ORDERED, 'p-1', { epoch: 7 }));
    ledger.record(handled(ORDERED, 'p-3', { epoch: 7 }));
    ledger.record(handled(ORDERED, 'p-2', { epoch: 8, master: 'm1' }));
    expect(ledger.queue(ORDERED)).toMatchObject({ lost: 0, reordered: 1 });
    expect(ledger.evidence(1)[0]).toMatch(/p-2 .* after p-3/);
  });

  it('does not count different producers, a repetition, or a copy that was sent again', () => {
    const ledger = new Ledger();
    ledger.record(confirmed('p-2', 'p', 2));
    ledger.record(confirmed('p-3', 'p', 3));
    ledger.record(confirmed('q-1', 'q', 1));
    ledger.record(handled(ORDERED, 'p-3', { epoch: 7 }));
    ledger.record(handled(ORDERED, 'q-1', { epoch: 7 }));
    ledger.record(handled(ORDERED, 'p-2', { epoch: 7, resent: true }));
    ledger.record(handled(ORDERED, 'p-3', { epoch: 8, master: 'm1', redelivered: true }));
    expect(ledger.queue(ORDERED)).toMatchObject({ reordered: 0, duplicated: 0 });
  });

  it('asks nothing of a shared queue', () => {
    const ledger = new Ledger();
    for (const sequence of [2, 1]) {
      ledger.record(confirmed(`p-${sequence}`, 'p', sequence));
      ledger.record(handled(SHARED, `p-${sequence}`));
    }
    expect(ledger.queue(SHARED)).toMatchObject({ reordered: 0, handled: 2 });
  });
});

describe('two owners', () => {
  it('counts an effect of a former owner behind one of its successor', () => {
    check((histories, pick, order) => {
      const effects = histories.flat().filter(({ type }) => type === 'effect') as EffectRecord[];
      const one = effects[pick % effects.length]!;
      // An epoch that no other master is known for, so that only the order tells.
      const observed = replace(histories, one, one, effect(1, 'former'));
      expect(judge(observed, order)).toMatchObject({ ...CLEAN, twoOwners: 1 });
    });
  });

  it('trusts no order between observers', () => {
    const ledger = new Ledger();
    ledger.record(effect(8, 'm1', 'one'));
    ledger.record(effect(7, 'm0', 'other'));
    expect(ledger.queue(ORDERED).twoOwners).toBe(0);
    ledger.record(effect(8, 'm1', 'other'));
    ledger.record(effect(7, 'm0', 'other'));
    expect(ledger.queue(ORDERED).twoOwners).toBe(1);
  });

  it('counts an epoch that two masters hold', () => {
    const ledger = new Ledger();
    ledger.record(handled(ORDERED, 'p-1', { epoch: 7, master: 'm0' }));
    ledger.record(effect(7, 'm1'));
    ledger.record(effect(7, 'm2'));
    expect(ledger.queue(ORDERED).twoOwners).toBe(1);
    expect(ledger.evidence()[0]).toContain('m0 and m1 and m2');
  });
});

describe('left behind', () => {
  it('is what the caller has counted', () => {
    expect(new Ledger().judge({ leftBehind: 3 })).toEqual({ ...NOTHING, leftBehind: 3 });
  });
});
