import { describe, it, onTestFinished } from 'vitest';
import { Laboratory } from '../lab/laboratory.js';
import { ringsForTheTimeThatIsLeft, ringsOnceWhenOverdue } from '../lab/orphaned-alarms.js';

function laboratory(): Laboratory {
  const lab = new Laboratory();
  onTestFinished(() => lab.close(), 20_000);
  return lab;
}

describe('a timer whose master is killed', () => {
  it(
    'is armed for the time that is left by the next of those that stand by, and fires once',
    () => ringsForTheTimeThatIsLeft(laboratory()),
    60_000,
  );

  it(
    'fires once, at once, if it fell due while nobody was there',
    () => ringsOnceWhenOverdue(laboratory()),
    60_000,
  );
});
