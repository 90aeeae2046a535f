import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Ledger, type Verdict } from '../src/testing/ledger.js';
import { eventually } from '../test/eventually.js';
import { HubProcess } from '../test/lab/hub-process.js';
import { Laboratory } from '../test/lab/laboratory.js';
import type { LabMaster } from '../test/lab/lab-master.js';
import { median, result, type Result } from './result.js';

const KILLS = 500;
/** After so many kills everything comes to rest, and is judged. */
const KILLS_IN_A_ROUND = 25;
const PER_SECOND = 5_000;
const CONSUMERS = 4;
const EXCLUSIVE = 'exclusive';
const SHARED = 'shared';
const PAUSE_MS = { min: 100, max: 900 };

/**
 * Masters and hub are killed at random under load, again and again. One publisher lives through it all, a second one is
 * killed like the consumers. `--kills N` for fewer, `--rate N` for another load, `--seed N` to choose the same again.
 */
export async function run(): Promise<Result[]> {
  const { values } = parseArgs({
    strict: false,
    options: { kills: { type: 'string' }, rate: { type: 'string' }, seed: { type: 'string' } },
  });
  const kills = Number(values['kills'] ?? KILLS);
  const seed = Number(values['seed'] ?? Date.now() % 1_000_000);
  console.log(`  seed ${seed}`);
  const soak = new Soak(createRandom(seed), Number(values['rate'] ?? PER_SECOND));
  try {
    return await soak.run(kills);
  } finally {
    await soak.lab.close();
  }
}

class Soak {
  readonly lab = new Laboratory({ ownerTimeoutMs: 3_000 });
  readonly #random: (below: number) => number;
  readonly #consumers: LabMaster[] = [];
  readonly #verdicts: Verdict[] = [];
  /** At the end of each round, when all is at rest. */
  readonly #folderBytes: number[] = [];
  readonly #openFiles: number[] = [];
  readonly #memory: number[] = [];
  #steady!: LabMaster;
  #doomed!: LabMaster;
  #names = 0;
  #hubKills = 0;

  constructor(
    random: (below: number) => number,
    /** Messages a second, of both publishers together. */
    readonly rate: number,
  ) {
    this.#random = random;
  }

  async run(kills: number): Promise<Result[]> {
    this.#steady = await this.#start();
    await this.#steady.call('observe', { pattern: 'effects.#' });
    this.#doomed = await this.#start();
    while (this.#consumers.length < CONSUMERS) this.#consumers.push(await this.#consumer());
    await this.#rest();
    for (let left = kills; left > 0; left -= KILLS_IN_A_ROUND) {
      await this.#round(Math.min(left, KILLS_IN_A_ROUND));
      const { published, redelivered } = this.#verdicts.at(-1)!;
      console.log(
        `  ${kills - Math.max(0, left - KILLS_IN_A_ROUND)} kills, ${this.#hubKills} of the hub:`,
        `${published} published, ${redelivered} redelivered,`,
        `folder ${(this.#folderBytes.at(-1)! / 1e6).toFixed(1)} MB, ${this.#openFiles.at(-1)} open files,`,
        `hub ${(this.#memory.at(-1)! / 1e6).toFixed(0)} MB`,
      );
    }
    return this.#results(kills);
  }

  #results(kills: number): Result[] {
    const sum = (column: keyof Verdict) => this.#verdicts.reduce((all, verdict) => all + verdict[column], 0);
    // The first rounds fill what is then used again and again.
    const growth = (values: readonly number[]) => {
      const half = Math.ceil(values.length / 2);
      return median(values.slice(half)) / median(values.slice(0, half));
    };
    const zeros = (['lost', 'duplicated', 'reordered', 'twoOwners'] as const).map((column) =>
      result(column, sum(column), 'messages', { atMost: 0 }),
    );
    return [
      result('killed', kills, 'processes'),
      result('of them hubs', this.#hubKills, 'processes'),
      result('published', sum('published'), 'messages'),
      result('redelivered, flagged', sum('redelivered'), 'messages'),
      ...zeros,
      result('folder, second half of the rounds against the first', growth(this.#folderBytes), 'x', {
        atMost: 1.5,
      }),
      result('open files of the hub, second half against the first', growth(this.#openFiles), 'x', {
        atMost: 1.2,
      }),
      result('memory of the hub, second half against the first', growth(this.#memory), 'x', { atMost: 1.5 }),
    ];
  }

  async #round(kills: number): Promise<void> {
    const round = this.#verdicts.length;
    this.lab.ledger = new Ledger();
    const half = this.rate / 2;
    const queues = [EXCLUSIVE, SHARED];
    const steady = `steady-${round}`;
    await this.#steady.call('start', {
      topic: 't.a',
      producer: steady,
      queues,
      perSecond: half,
      inFlight: 1_000,
    });
    await this.#publishDoomed();
    for (let left = kills; left > 0; left--) {
      await this.#pause();
      await this.#kill();
    }
    await this.#steady.call('stopPublishing', { producer: steady });
    await this.#doomed.call('stopPublishing', { producer: this.#doomed.name });
    await this.#rest();
    this.#verdicts.push(this.lab.ledger.judge({ leftBehind: 0 }));
    const evidence = this.lab.ledger.evidence();
    for (const sentence of evidence) console.log(`! ${sentence}`);
  }

  /** One of the consumers, the doomed publisher, or the hub. */
  async #kill(): Promise<void> {
    const which = this.#random(CONSUMERS + 2);
    if (which < CONSUMERS) {
      await this.#consumers[which]!.kill();
      this.#consumers[which] = await this.#consumer();
    } else if (which === CONSUMERS) {
      await this.#doomed.kill();
      this.#doomed = await this.#start();
      await this.#publishDoomed();
    } else {
      this.#hubKills++;
      await (await HubProcess.find(this.lab.folder))?.kill();
    }
    this.lab.look();
  }

  async #publishDoomed(): Promise<void> {
    const { name } = this.#doomed;
    const queues = [EXCLUSIVE, SHARED];
    await this.#doomed.call('start', {
      ...{ topic: 't.a', producer: name, queues, perSecond: this.rate / 2, inFlight: 1_000 },
    });
  }

  #start(): Promise<LabMaster> {
    return this.lab.master(`master-${++this.#names}`);
  }

  async #consumer(): Promise<LabMaster> {
    const master = await this.#start();
    await master.call('consume', { queue: EXCLUSIVE, bindings: ['t.#'], prefetch: 256, terse: true });
    const shared = {
      queue: SHARED,
      bindings: ['t.#'],
      ownership: 'shared' as const,
      prefetch: 128,
      terse: true,
    };
    await master.call('consume', shared);
    return master;
  }

  /** Until everything is handled; then the broker is looked at. */
  async #rest(): Promise<void> {
    await eventually('everything that is owed was handled', () => this.#isSettled(), 120_000).catch(
      async (error: unknown) => {
        console.log(this.lab.complaints(), await this.#steady.call('queues'));
        throw error;
      },
    );
    const hub = await this.lab.hub();
    this.#folderBytes.push(sizeOf(this.lab.folder));
    this.#openFiles.push(hub.openFiles);
    this.#memory.push(hub.memory);
  }

  #isSettled(): boolean {
    this.lab.look();
    return this.lab.ledger.outstanding === 0;
  }

  async #pause(): Promise<void> {
    const until = Date.now() + PAUSE_MS.min + this.#random(PAUSE_MS.max - PAUSE_MS.min);
    while (Date.now() < until) {
      this.lab.look();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function sizeOf(folder: string): number {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.mdb'))
    .reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0);
}

/** mulberry32. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
