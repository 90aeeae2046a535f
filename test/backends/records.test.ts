import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { packLetter, unpackLetter } from '../../src/backends/file/records.js';
import type { Letter } from '../../src/backends/hub/queue-parts.js';
import { seal } from '../../src/folder/seal.js';
import { Payload } from '../../src/model/payload.js';

const said = { id: 'q/p-1/0', reason: 'attempts', error: 'no', attempts: 2, at: 5, redrives: 0 } as const;

describe('the record of a dead letter', () => {
  it('has its history', () => {
    const history = [
      { attempt: 1, at: 3, error: 'grüße' },
      { attempt: 2, at: 4, error: '' },
    ];
    const payload = Payload.of(1, { maxBytes: 100 });
    const envelope = { id: 'p-1', topic: 'a', time: 0, source: 's', headers: {}, payload };
    const letter: Letter = {
      ...said,
      history,
      envelope: { ...envelope, origin: undefined, resent: false, fence: undefined },
    };
    expect(unpackLetter(packLetter(letter)).letter).toEqual({ ...said, history });
  });

  it('has none if an earlier version wrote it', () => {
    const { id, reason, error, attempts, at, redrives } = said;
    const bytes = new Uint8Array([1]);
    const packr = new Packr({ useRecords: false });
    const sealed = seal(packr.pack([1, id, reason, error, attempts, at, redrives, bytes]));
    expect(unpackLetter(sealed).letter).toEqual({ ...said, history: [] });
  });
});
