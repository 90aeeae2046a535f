import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonText } from '../../src/model/json-text.js';

const long = fc.oneof(
  fc.string({ minLength: 60, maxLength: 200 }),
  fc.string({ unit: 'binary', minLength: 60, maxLength: 200 }),
  fc.constantFrom('x'.repeat(70), `${'x'.repeat(70)}"`, `\\${'x'.repeat(70)}`, `${'x'.repeat(70)}\ud800`),
);

test('the JSON of a value is what JSON.stringify gives', () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.oneof(long, fc.string(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()),
      fc.constant(null),
      fc.array(tie('value')),
      fc.dictionary(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', '7', 'toJSON')),
        tie('value'),
      ),
    ),
  }));
  fc.assert(
    fc.property(value, (data) => {
      expect(jsonText(data)).toBe(JSON.stringify(data));
    }),
    { numRuns: 1_000 },
  );
});
