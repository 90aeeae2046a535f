import type { Master, MasterOptions } from 'signalbox';
import type { BuildMaster, Crew } from './crew.js';
import { join, stop, type Fault, type Stage } from './faults.js';
import type { Farm } from './records.js';
import { hire, work } from './roles.js';

class MasterHere implements BuildMaster {
  readonly #farm: Farm;

  constructor(
    readonly master: Master,
    farm: Farm,
  ) {
    this.#farm = farm;
  }

  get name(): string {
    return this.master.name;
  }

  get isHere(): boolean {
    return this.master.status === 'ready';
  }

  async stop(): Promise<void> {
    const stopped = this.master.stop();
    this.#farm.report({ type: 'leaves', master: this.name });
    await stopped;
  }
}

/** Every master inside this process: they can stop and join, and that is all that can happen to one alone. */
export class CrewHere implements Crew {
  readonly masters: MasterHere[] = [];
  readonly #farm: Farm;
  readonly #broker: Pick<MasterOptions, 'broker' | 'namespace'>;

  constructor(farm: Farm, broker: Pick<MasterOptions, 'broker' | 'namespace'>) {
    this.#farm = farm;
    this.#broker = broker;
  }

  async join(name: string): Promise<void> {
    const master = await hire(name, this.#broker, this.#farm);
    this.masters.push(new MasterHere(master, this.#farm));
    await work(master, this.#farm);
  }

  faults(stage: Stage): readonly Fault[] {
    return [stop(stage, this.masters), join(stage)];
  }

  endBuilds(): void {
    this.#farm.processes.close();
  }

  leftBehind(): readonly string[] {
    return this.masters.flatMap(({ master }) => leftBehindOf(master));
  }
}

export function leftBehindOf({ name, status, actor }: Master): readonly string[] {
  const found: string[] = [];
  if (status !== 'stopped') found.push(`master ${name} is ${status}`);
  const { status: running } = actor.getSnapshot() as { status: string };
  if (running === 'active') found.push(`the root actor of ${name} still runs`);
  return found;
}
