import { describe, expect, it } from 'vitest';

import { detailsOf, marksOf } from '../../../src/backends/broker/letter-marks.js';

const failed = (attempt: number, error = 'no') => ({ attempt, at: attempt * 1_000, error });

function read(marks: Readonly<Record<string, string>>) {
  return detailsOf((name) => marks[name]);
}

describe('the marks of a dead letter', () => {
  it('carry its details', () => {
    const details = {
      reason: 'rejected',
      error: 'wrong',
      attempts: 2,
      history: [failed(1), failed(2)],
    } as const;
    expect(read(marksOf(details))).toEqual(details);
  });

  it('keep the latest attempts of a history that is too long for a header', () => {
    const history = Array.from({ length: 20 }, (_, index) => failed(index + 1, '€'.repeat(1_000)));
    const marks = marksOf({ reason: 'attempts', error: 'e'.repeat(100_000), attempts: 20, history });
    const size = Object.values(marks).reduce((sum, value) => sum + Buffer.byteLength(value), 0);
    expect(size).toBeLessThan(32_768);
    expect(read(marks).history).toEqual(history.slice(15));
  });

  it.each(['', '{', 'null', '{}', '[1]', '[[1,2]]', '[["1",2,"x"]]', '[null]'])(
    'are read as no history where they say %j',
    (history) => {
      expect(read({ reason: 'never heard of', attempts: 'x', history })).toEqual({
        reason: 'attempts',
        error: 'The broker has dead-lettered it.',
        attempts: 0,
        history: [],
      });
    },
  );
});
