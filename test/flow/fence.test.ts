import { describe, expect, it } from 'vitest';
import { Fence } from '../../src/flow/fence.js';
import { FakeOwnership } from './fake-broker.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function lab() {
  const ownership = new FakeOwnership();
  const said: string[] = [];
  const fence = new Fence(ownership, () => said.push('passable'));
  return { ownership, said, fence, say: (word: string) => fence.say(() => said.push(word)) };
}

describe('a fence', () => {
  it('lets everything pass while the ownership is valid, and asks nobody', () => {
    const { ownership, said, fence, say } = lab();
    say('a');
    expect([fence.passes(), said, ownership.asked]).toEqual([true, ['a'], 0]);
  });

  it('lets everything pass where there is no ownership', () => {
    const said: string[] = [];
    const fence = new Fence(undefined, () => said.push('passable'));
    fence.say(() => said.push('a'));
    expect([fence.passes(), said]).toEqual([true, ['a']]);
  });

  it('keeps what is said while it has lapsed, asks once, and says it in order once it is valid again', async () => {
    const { ownership, said, fence, say } = lab();
    ownership.state = 'lapsed';
    say('a');
    say('b');
    expect([fence.passes(), said, ownership.asked]).toEqual([false, [], 1]);
    ownership.answer('valid');
    await turn();
    expect([fence.passes(), said]).toEqual([true, ['a', 'b', 'passable']]);
  });

  it('never says what was kept when it has ended', async () => {
    const { ownership, said, fence, say } = lab();
    ownership.state = 'lapsed';
    say('a');
    ownership.answer('ended');
    await turn();
    say('b');
    expect([fence.passes(), said]).toEqual([false, []]);
  });

  it('asks again when it lapses again, also while it says what was kept', async () => {
    const { ownership, said, fence, say } = lab();
    ownership.state = 'lapsed';
    fence.say(() => {
      said.push('a');
      ownership.state = 'lapsed';
    });
    say('b');
    ownership.answer('valid');
    await turn();
    expect([said.filter((word) => word !== 'passable'), ownership.asked]).toEqual([['a'], 2]);
    ownership.answer('valid');
    await turn();
    expect(said.filter((word) => word !== 'passable')).toEqual(['a', 'b']);
  });
});
