import type { Ownership, Session } from '../backend.js';
import { Pump, type DataPlane } from '../flow/pump.js';
import type { PumpPorts, PumpReports, PumpSettings } from '../flow/pump-ports.js';
import { StoppedError } from '../model/errors.js';
import { Run } from './run.js';
import type { SchedulerReports, SchedulerSettings } from './scheduler.js';

/** The data plane of a scheduler: that of a consumer whose handler is a statechart, and whose acks are saves. */
export class SchedulerPump implements DataPlane {
  readonly #settings: SchedulerSettings;
  readonly #ports: PumpPorts;
  readonly #reports: SchedulerReports;
  readonly #pump: Pump;
  #run: Run | undefined;
  #ownership: Ownership | undefined;
  /** What it has saved last, or was granted with. */
  #checkpoint: Uint8Array | undefined;

  constructor(
    settings: SchedulerSettings & PumpSettings,
    ports: PumpPorts,
    reports: SchedulerReports & PumpReports,
  ) {
    this.#settings = settings;
    this.#ports = ports;
    this.#reports = reports;
    const handler = (...call: Parameters<Run['handle']>) => this.#run!.handle(...call);
    this.#pump = new Pump(settings, handler, ports, reports);
  }

  get closed(): Promise<void> {
    return this.#pump.closed;
  }

  async open(session: Session, ownership: Ownership | undefined): Promise<void> {
    const last = this.#run;
    // After a pause the ownership is the same, and may have saved more than it was granted with.
    const isSame = this.#ownership === ownership;
    const saved = isSame ? await last?.saved() : ownership!.checkpoint;
    if (saved || !isSame) this.#checkpoint = saved;
    this.#ownership = ownership;
    const { environment } = this.#ports;
    const run = new Run(session, ownership!, this.#checkpoint, this.#settings, environment, this.#reports);
    this.#run = run;
    if (!(await run.recover())) return;
    // Before the first message: one may come before `open` has resolved, and an inspector must see what it changes.
    run.begin();
    await this.#pump.open(run, ownership);
  }

  halt(): void {
    this.#run?.halt();
    this.#pump.halt();
  }

  async drain(deadline: Promise<void>): Promise<void> {
    const run = this.#run;
    run?.finishBy(deadline);
    await this.#pump.drain(deadline);
    run?.end(new StoppedError(`Scheduler "${this.#settings.queue}" has stopped here.`));
  }

  abandon(reason: Error): void {
    this.#run?.end(reason);
    this.#pump.abandon(reason);
  }

  quiet(deadline: Promise<void>): Promise<void> {
    return this.#pump.quiet(deadline);
  }
}
