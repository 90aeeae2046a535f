import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fileBackend } from '../../src/backends/file/index.js';
import { soakSchedulers } from '../lab/scheduler-soak.js';

const hubProgram = join(import.meta.dirname, '../../dist/src/backends/file/hub-program.js');

it('two schedulers whose masters are killed again and again end as without faults, and repeat nothing unflagged', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-kill-'));
  let seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  try {
    const { expected, first, second, unflagged } = await soakSchedulers({
      ...{ broker: `file:${folder}`, namespace: 'soak', ownerTimeoutMs: 3_000, masters: 2, random },
      witness: fileBackend(folder, { hubProgram }),
      ...{ messages: 2_000, perSecond: 400, kills: 8, pauseMs: { min: 100, max: 800 } },
    });
    expect(first).toEqual(expected);
    expect(second).toEqual(expected);
    expect(unflagged).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 60_000);
