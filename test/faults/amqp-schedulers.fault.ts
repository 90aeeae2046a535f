import { describe, expect, it, vi } from 'vitest';
import { rabbit } from '../brokers/rabbit.js';
import { dieAtEachStep } from '../lab/deadly-steps.js';
import { ringsForTheTimeThatIsLeft, ringsOnceWhenOverdue } from '../lab/orphaned-alarms.js';
import { RabbitLaboratory } from '../lab/rabbit-laboratory.js';

vi.setConfig({ testTimeout: 180_000 });

const broker = await rabbit();

describe.skipIf(!broker)('schedulers at a RabbitMQ', () => {
  const url = broker?.url ?? '';

  it('whose process is killed at each step of a save end as without faults, and repeat nothing unflagged', async () => {
    const lab = RabbitLaboratory.at(url);
    await dieAtEachStep(lab);
    expect(await lab.ended('first', 'second', 'plain')).toMatchObject({ duplicated: 0, leftBehind: 0 });
  });

  it('have their timers armed for the time that is left by the next of those that stand by', async () => {
    const lab = RabbitLaboratory.at(url);
    await ringsForTheTimeThatIsLeft(lab);
    expect(await lab.ended('alarms', 'ears')).toMatchObject({ leftBehind: 0 });
  });

  it('have a timer fired once, at once, if it fell due while nobody was there', async () => {
    const lab = RabbitLaboratory.at(url);
    await ringsOnceWhenOverdue(lab);
    expect(await lab.ended('alarms', 'ears')).toMatchObject({ leftBehind: 0 });
  });
});
