import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { ReadyList } from '../../src/backends/hub/ready-list.js';

type Step =
  | { type: 'append'; count: number }
  | { type: 'take'; count: number }
  /** Some of what is in hand, in the order in which these numbers say. */
  | { type: 'give back'; which: number[] };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('append' as const), count: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ type: fc.constant('take' as const), count: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ type: fc.constant('give back' as const), which: fc.array(fc.nat(), { maxLength: 50 }) }),
);

describe('ReadyList', () => {
  it('gives the items in the order of their positions, whatever was taken and given back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const list = new ReadyList<{ position: number }>();
        const ready: number[] = [];
        const inHand: number[] = [];
        let position = 0;
        for (const next of steps) {
          if (next.type === 'append')
            for (let count = 0; count < next.count; count++) {
              list.append({ position: ++position });
              ready.push(position);
            }
          else if (next.type === 'take')
            for (let count = 0; count < next.count; count++) {
              assert.equal(list.peek()?.position, ready[0]);
              assert.equal(list.take()?.position, ready[0]);
              if (ready.length > 0) inHand.push(ready.shift()!);
            }
          else {
            const back: number[] = [];
            for (const at of next.which)
              if (inHand.length > 0) back.push(...inHand.splice(at % inHand.length, 1));
            list.giveBack(back.map((given) => ({ position: given })));
            ready.push(...back);
            ready.sort((a, b) => a - b);
          }
          assert.equal(list.size, ready.length);
        }
        for (const expected of ready) assert.equal(list.take()?.position, expected);
        assert.equal(list.take(), undefined);
        assert.equal(list.peek(), undefined);
        assert.equal(list.size, 0);
      }),
      { numRuns: 200 },
    );
  });

  it('takes a long backlog in linear time', () => {
    const list = new ReadyList<{ position: number }>();
    for (let position = 0; position < 300_000; position++) list.append({ position });
    const began = performance.now();
    const wrong: number[] = [];
    for (let position = 0; position < 300_000; position++)
      if (list.take()?.position !== position) wrong.push(position);
    assert.deepEqual(wrong, []);
    // A shift of all that is left with each take would need minutes.
    assert(performance.now() - began < 2_000);
  });
});
