import { join as joinPath } from 'node:path';
import type { Crew } from './crew.js';
import { freeze, join, kill, killHub, stop, type Fault, type Stage } from './faults.js';
import type { Hub } from './hub.js';
import { MasterProcess, type Orders } from './master-process.js';
import type { FarmRecord } from './records.js';

/** Every master in a process of its own: whatever happens to processes happens to them. */
export class CrewOfProcesses implements Crew {
  readonly masters: MasterProcess[] = [];
  readonly #orders: Omit<Orders, 'name' | 'evidence'>;
  readonly #folder: string;
  readonly #hub: Hub | undefined;
  readonly #report: (record: FarmRecord, at: number) => void;

  /** What the masters do is written into `folder`, and told to `report`. */
  constructor(
    orders: Omit<Orders, 'name' | 'evidence'>,
    {
      folder,
      hub,
      report,
    }: {
      readonly folder: string;
      readonly hub: Hub | undefined;
      readonly report: (record: FarmRecord, at: number) => void;
    },
  ) {
    this.#orders = orders;
    this.#folder = folder;
    this.#hub = hub;
    this.#report = report;
  }

  async join(name: string): Promise<void> {
    const evidence = joinPath(this.#folder, `${name}.jsonl`);
    const master = new MasterProcess({ ...this.#orders, name, evidence }, this.#report);
    this.masters.push(master);
    await master.works;
  }

  faults(stage: Stage): readonly Fault[] {
    const { masters } = this;
    const faults = [kill(stage, masters), freeze(stage, masters), join(stage), stop(stage, masters)];
    return this.#hub ? [...faults, killHub(stage, masters, this.#hub)] : faults;
  }

  endBuilds(): void {
    for (const master of this.masters) master.endBuilds();
  }

  leftBehind(): readonly string[] {
    return this.masters.flatMap((master) => master.leftBehind());
  }

  /** Without asking anybody: for a farm that is ended by force. */
  killAll(): void {
    for (const master of this.masters) master.kill();
  }
}
