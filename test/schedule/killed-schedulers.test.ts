import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileBackend } from '../../src/backends/file/index.js';
import { nats } from '../brokers/nats.js';
import { rabbit } from '../brokers/rabbit.js';
import { soakSchedulers, type SchedulerSoakOptions } from '../lab/scheduler-soak.js';

const hubProgram = join(import.meta.dirname, '../../dist/src/backends/file/hub-program.js');
const broker = await rabbit();
const server = await nats();

/** Whether so few kills repeat anything is chance: killed-at-steps makes it sure, and the bench soak-schedulers counts it. */
async function endsAsWithoutFaults(
  where: Pick<SchedulerSoakOptions, 'broker' | 'witness' | 'ownerTimeoutMs'>,
): Promise<void> {
  let seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  const messages = 1_600;
  const { expected, first, second, heard, unflagged, crashes } = await soakSchedulers({
    ...{ ...where, namespace: `soak-${process.pid}-${seed}`, masters: 2, random },
    ...{ messages, perSecond: 400, kills: 8, pauseMs: { min: 50, max: 700 } },
  });
  expect([first, second]).toEqual([expected, expected]);
  expect({ heard, unflagged, crashes }).toEqual({ heard: messages, unflagged: [], crashes: [] });
}

describe('two schedulers whose masters are killed again and again', () => {
  it('end as without faults on file, and repeat nothing unflagged', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'signalbox-kill-'));
    try {
      const witness = fileBackend(folder, { hubProgram });
      await endsAsWithoutFaults({ broker: `file:${folder}`, witness, ownerTimeoutMs: 3_000 });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 90_000);

  it.skipIf(!broker)(
    'end as without faults on RabbitMQ, and repeat nothing unflagged',
    () => endsAsWithoutFaults({ broker: broker!.url, ownerTimeoutMs: 10_000 }),
    90_000,
  );

  it.skipIf(!server)(
    'end as without faults on JetStream, and repeat nothing unflagged',
    () => endsAsWithoutFaults({ broker: server!.url, ownerTimeoutMs: 3_000 }),
    90_000,
  );
});
