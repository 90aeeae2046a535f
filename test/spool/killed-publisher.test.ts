import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { fileBackend } from '../../src/backends/file/index.js';
import { livingHub } from '../../src/backends/file/hub-record.js';
import { createMaster } from '../../src/index.js';
import { Ledger } from '../../src/testing/ledger.js';
import { eventually } from '../eventually.js';
import type { Told } from './publisher-program.js';

const dist = join(import.meta.dirname, '../../dist');
const program = join(dist, 'test/spool/publisher-program.js');
const hubProgram = join(dist, 'src/backends/file/hub-program.js');
const LIVES = 7;

const children: ChildProcess[] = [];
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

describe('a publisher with a spool that is killed again and again', () => {
  it('loses nothing that was promised, in order, with the broker there and away', async () => {
    const seed = Number(process.env.SPOOL_SEED ?? 1 + Math.floor(Math.random() * 1e6));
    console.log(`SPOOL_SEED=${seed}`);
    const chance = random(seed);
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-killed-')));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const [state, spool] = [join(folder, 'state'), join(folder, 'spool')];
    const ledger = new Ledger();
    const outcomes: Record<string, number> = {};

    const consumer = await createMaster({ name: 'consumer', broker: fileBackend(state, { hubProgram }) });
    const hub = (await livingHub(state))!.pid;
    cleanups.push(async () => {
      process.kill(hub, 'SIGCONT');
      await consumer.stop();
      process.kill(hub, 'SIGTERM');
      await eventually('the hub has gone', async () => !(await livingHub(state)));
    });
    await consumer.consume('all', { bindings: ['events.#'] }, (message, delivery) => {
      ledger.record({
        ...{ type: 'handled', queue: 'all', id: message.id, master: 'consumer', epoch: delivery.epoch },
        ...{ attempt: delivery.attempt, redelivered: delivery.redelivered, resent: false },
      });
    });

    const start = async (life: number) => {
      const child = fork(program, [`p${life}`, `file:${state}`, spool], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.push(child);
      const told = new Set<string>();
      child.on('message', (word: Told) => {
        told.add(word.type);
        const outcome =
          word.type === 'promised' ? word.outcome : word.type === 'failed' ? word.code : undefined;
        if (outcome) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        if (word.type !== 'promised') return;
        const dash = word.id.lastIndexOf('-');
        ledger.record({
          ...{ type: 'confirmed', id: word.id, topic: word.topic, queues: ['all'] },
          ...{ producer: word.id.slice(0, dash), sequence: Number(word.id.slice(dash + 1)) },
        });
      });
      await eventually('the publisher is ready', () => told.has('ready') || child.exitCode !== null, 30_000);
      return { child, told };
    };

    for (let life = 1; life < LIVES; life++) {
      const { child } = await start(life);
      await pause(chance() * 150);
      const isAway = chance() < 0.7;
      if (isAway) process.kill(hub, 'SIGSTOP');
      await pause(chance() * 700);
      if (isAway && chance() < 0.5) {
        process.kill(hub, 'SIGCONT');
        await pause(chance() * 400);
      }
      child.kill('SIGKILL');
      await once(child, 'exit');
      process.kill(hub, 'SIGCONT');
    }
    const last = await start(LIVES);
    await pause(200);
    last.child.send('finish');
    await once(last.child, 'exit');
    expect([...last.told]).toContain('finished');
    await eventually('everything is handled', () => ledger.outstanding === 0, 20_000).catch(() => {});

    expect(ledger.evidence()).toEqual([]);
    const verdict = ledger.judge({ leftBehind: 0 });
    expect(verdict).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, twoOwners: 0 });
    expect(outcomes.spooled).toBeGreaterThan(100);
    expect(outcomes.confirmed).toBeGreaterThan(100);
    expect(Object.keys(outcomes).sort()).toEqual(['confirmed', 'spooled']);
    expect(() => readFileSync(join(spool, 'refused.jsonl'))).toThrow(/ENOENT/);
  }, 120_000);
});
