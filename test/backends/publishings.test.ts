import { describe, expect, it } from 'vitest';

import { Publishings } from '../../src/backends/file/publishings.js';
import type { Envelope } from '../../src/model/message.js';

const messageOf = (id: string) => ({ id }) as Envelope;
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(messageOf) as [Envelope, Envelope, Envelope, Envelope];

/** What has become of the answers, as far as it is known now. */
async function outcomes(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const open = new Promise((resolve) => setImmediate(resolve, 'open'));
  return Promise.all(answers.map((answer) => Promise.race([answer.catch((error: unknown) => error), open])));
}

describe('messages of a run', () => {
  it('share an answer, which comes when all of them have theirs', async () => {
    const publishings = new Publishings();
    const answers = [publishings.add(a, 1), publishings.add(b, 1), publishings.add(c, 2)];
    expect(answers[0]).toBe(answers[1]);
    publishings.answeredUpTo(1);
    expect(await outcomes(answers)).toEqual(['open', 'open', 'open']);
    publishings.answeredUpTo(3);
    expect(await outcomes(answers)).toEqual([undefined, undefined, undefined]);
  });

  it('take no more once all of them have their answer, as that would have to wait', async () => {
    const publishings = new Publishings();
    const first = publishings.add(a, 1);
    publishings.answeredUpTo(1);
    const second = publishings.add(b, 1);
    expect(await outcomes([first, second])).toEqual([undefined, 'open']);
  });

  it('are told which of them were refused, also across runs and when some have been answered', async () => {
    const publishings = new Publishings();
    const [one, , two] = [
      publishings.add(a, 1),
      publishings.add(b, 1),
      publishings.add(c, 2),
      publishings.add(d, 2),
    ];
    publishings.answeredUpTo(1);
    publishings.refuse(2, new Error('b'));
    publishings.refuse(4, new Error('d'));
    publishings.answeredUpTo(4);
    expect(await one).toEqual(new Map([[b, new Error('b')]]));
    expect(await two).toEqual(new Map([[d, new Error('d')]]));
  });

  it('reject where one is alone', async () => {
    const publishings = new Publishings();
    const answer = publishings.add(a, 1);
    publishings.refuse(1, new Error('full'));
    publishings.answeredUpTo(1);
    await expect(answer).rejects.toThrow('full');
  });

  it('are all rejected at the end, and nothing is heard of them after it', async () => {
    const publishings = new Publishings();
    const answers = [publishings.add(a, 1), publishings.add(b, 2)];
    publishings.rejectAll(new Error('gone'));
    expect(await outcomes(answers)).toEqual([new Error('gone'), new Error('gone')]);
    publishings.refuse(1, new Error('late'));
    expect(() => publishings.answeredUpTo(1)).toThrow('what it was not given');
  });
});
