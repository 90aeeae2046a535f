import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FaultsWorld, MASTERS, type Step } from './faults-world.js';

const who = fc.nat(MASTERS - 1);
const noticedAfterMs = fc.constantFrom(0, 0, 500, 5_000);
const count = fc.integer({ min: 1, max: 3 });

function stepOf<T extends object>(weight: number, fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) {
  return { weight, arbitrary: fc.record({ who, ...fields }) };
}

const step = fc.oneof(
  stepOf(10, { type: fc.constant('publish'), count: fc.integer({ min: 1, max: 8 }) }),
  stepOf(6, { type: fc.constant('pass'), ms: fc.constantFrom(1, 20, 200, 1_000, 4_000) }),
  stepOf(3, { type: fc.constantFrom('drop', 'cut off'), noticedAfterMs }),
  stepOf(2, { type: fc.constant('delay'), maxMs: fc.constantFrom(0, 1, 5, 50) }),
  stepOf(4, { type: fc.constantFrom('lose confirms', 'lose acks', 'duplicate'), count }),
  stepOf(5, { type: fc.constantFrom('refuse', 'block', 'clear', 'clear', 'freeze', 'thaw', 'crash') }),
) as fc.Arbitrary<Step>;

describe('whatever goes wrong', () => {
  it('nothing confirmed is lost, handled twice without a flag, reordered, or owned twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 5, maxLength: 40 }), async (seed, steps) => {
        const world = await FaultsWorld.open(seed);
        for (const next of steps) await world.take(next);
        await world.heal();
        expect(world.ledger.judge({ leftBehind: 0 })).toMatchObject({
          lost: 0,
          duplicated: 0,
          reordered: 0,
          twoOwners: 0,
        });
        await world.close();
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
