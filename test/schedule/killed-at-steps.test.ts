import { expect, it, onTestFinished } from 'vitest';
import { dieAtEachStep } from '../lab/deadly-steps.js';
import { Laboratory } from '../lab/laboratory.js';

it('a scheduler whose process is killed at each step of a save ends as without faults, and repeats nothing unflagged', async () => {
  const lab = new Laboratory();
  onTestFinished(() => lab.close(), 20_000);
  await dieAtEachStep(lab);
  expect(await lab.verdict()).toMatchObject({ duplicated: 0, leftBehind: 0 });
}, 120_000);
