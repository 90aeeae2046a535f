import { describe, expect, it } from 'vitest';
import { SeenEpochs } from '../../src/model/seen-epochs.js';

describe('epochs that were heard', () => {
  it('tell a former owner of each queue, and nobody else', () => {
    const seen = new SeenEpochs();
    const heard = [
      ['a', 5, false],
      ['a', 5, false],
      ['b', 1, false],
      ['a', 7, false],
      ['a', 5, true],
      ['a', 6, true],
      ['a', 7, false],
      ['b', 1, false],
    ] as const;
    for (const [queue, epoch, isFormer] of heard) expect(seen.isFormer({ queue, epoch })).toBe(isFormer);
  });

  it('are forgotten of the queues not heard of for the longest time, when there are very many', () => {
    const seen = new SeenEpochs();
    for (let number = 0; number <= 10_000; number++) seen.isFormer({ queue: `q${number}`, epoch: 2 });
    expect([seen.isFormer({ queue: 'q0', epoch: 1 }), seen.isFormer({ queue: 'q10000', epoch: 1 })]).toEqual([
      false,
      true,
    ]);
  });
});
