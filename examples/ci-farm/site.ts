import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Crew } from './crew.js';
import { CrewHere } from './crew-here.js';
import { CrewOfProcesses } from './crew-of-processes.js';
import { Hub } from './hub.js';
import type { Farm, FarmRecord } from './records.js';

/** What all masters of one farm share at a broker. */
export interface Ground {
  readonly broker: string;
  readonly namespace: string;
}

/** Where a farm happens. */
export interface Site {
  readonly ground: Ground;
  readonly crew: Crew;
  /** For after all masters have stopped: takes away what was made for this farm. What stays, a sentence each. */
  close(): Promise<readonly string[]>;
  /** Ends everything by force, for a process that ends now. */
  abandon(): void;
}

/** Without a broker: `file:` in a temporary folder. What masters in other processes do is told to `report`. */
export function openSite(
  broker: string | undefined,
  farm: Farm,
  report: (record: FarmRecord, at: number) => void,
): Site {
  const run = randomBytes(4).toString('hex');
  const namespace = `ci-farm-${run}`;
  return broker?.startsWith('memory:')
    ? siteHere({ broker: `memory:ci-farm-${run}`, namespace }, farm)
    : siteOfProcesses(broker, namespace, farm, report);
}

function siteHere(ground: Ground, farm: Farm): Site {
  return { ground, crew: new CrewHere(farm, ground), close: async () => [], abandon: () => {} };
}

function siteOfProcesses(
  broker: string | undefined,
  namespace: string,
  { repository, command, concurrency }: Farm,
  report: (record: FarmRecord, at: number) => void,
): Site {
  const folder = mkdtempSync(join(tmpdir(), 'ci-farm-'));
  const ground = { broker: broker ?? `file:${join(folder, 'state')}`, namespace };
  const hub = ground.broker.startsWith('file:') ? new Hub(ground.broker.slice('file:'.length)) : undefined;
  const crew = new CrewOfProcesses({ ...ground, repository, command, concurrency }, { folder, hub, report });
  return {
    ground,
    crew,
    close: async () => {
      // The hub of a folder that was given serves whoever else comes.
      const found = broker === undefined && hub ? await hub.end() : [];
      await rm(folder, { recursive: true, force: true });
      return existsSync(folder) ? [...found, `the folder ${folder}`] : found;
    },
    abandon: () => {
      crew.killAll();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
