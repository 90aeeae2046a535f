import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { nats } from '../brokers/nats.js';
import { dieAtEachStep } from '../lab/deadly-steps.js';
import { Laboratory } from '../lab/laboratory.js';
import { ringsForTheTimeThatIsLeft, ringsOnceWhenOverdue } from '../lab/orphaned-alarms.js';

vi.setConfig({ testTimeout: 180_000 });

const server = await nats();

function laboratory(): Laboratory {
  const namespace = `faults-${randomBytes(6).toString('hex')}`;
  const lab = new Laboratory({ broker: server!.url, ownerTimeoutMs: 3_000, namespace });
  onTestFinished(() => lab.close(), 30_000);
  return lab;
}

describe.skipIf(!server)('schedulers at a NATS JetStream', () => {
  it('whose process is killed at each step of a save end as without faults, and repeat nothing unflagged', async () => {
    const lab = laboratory();
    await dieAtEachStep(lab);
    expect(await lab.verdict()).toMatchObject({ duplicated: 0, leftBehind: 0 });
  });

  it('have their timers armed for the time that is left by the next of those that stand by', () =>
    ringsForTheTimeThatIsLeft(laboratory()));

  it('have a timer fired once, at once, if it fell due while nobody was there', () =>
    ringsOnceWhenOverdue(laboratory()));
});
