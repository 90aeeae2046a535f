import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Brim } from '../../src/model/brim.js';

describe('Brim', () => {
  it('notices that it is full once, until it was half empty', () => {
    const brim = new Brim(4);
    const noted = [3, 4, 5, 3, 4, 3, 2, 3, 4, 4, 0, 4].map((size) => brim.note(size));
    expect(noted.flatMap((isNew, at) => (isNew ? [at] : []))).toEqual([1, 8, 11]);
  });

  it('notices a limit of one', () => {
    const brim = new Brim(1);
    expect([0, 1, 1, 0, 1].map((size) => brim.note(size))).toEqual([false, true, false, false, true]);
  });

  it('notices again when it was told to forget', () => {
    const brim = new Brim(2);
    expect(brim.note(2)).toBe(true);
    brim.forget();
    expect([brim.note(2), brim.note(2)]).toEqual([true, false]);
  });

  it('is quiet between two fillings, whatever happens above half', () => {
    const sizes = fc.array(fc.integer({ min: 6, max: 20 }), { minLength: 1 });
    fc.assert(
      fc.property(sizes, (list) => {
        const brim = new Brim(10);
        brim.note(10);
        return !list.some((size) => brim.note(size));
      }),
    );
  });
});
