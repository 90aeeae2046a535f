import type { AnyActorRef } from 'xstate';
import { delayMs } from '../../src/model/backoff.js';
import { OptionError, RestartIntensityError, toError } from '../../src/model/errors.js';
import { Alarms, clockOf, type AlarmEvent, type AlarmOwner, type SupervisionClock } from './alarms.js';
import { checkSpec, isRestarted, type ChildSpec } from './child-spec.js';
import { Display } from './display.js';
import type { Engine, EngineScope } from './engine.js';
import { Incarnation, type Outcome } from './incarnation.js';
import type {
  RefusalCode,
  SupervisorContext,
  SupervisorEmitted,
  SupervisorEvent,
  SupervisorSnapshot,
} from './protocol.js';
import { idOf, refusal, type Request } from './request.js';
import { RestartWindow } from './restart-window.js';
import { Roster, type Child } from './roster.js';
import type { Settings } from './settings.js';

/** What a supervisor tells itself, so that it takes its turn: its start, a child to look after, an alarm. */
type OwnEvent = { type: 'supervisor.start' } | { type: 'supervisor.check'; id: string } | AlarmEvent;

const END_REPORT = /^xstate\.(?:done|error)\.actor\./;

/**
 * What one running supervisor does, told in the states of a child.
 *
 * `starting` → `running`: started, in order. `running` → `stopping`: the supervisor makes it end; its `fate` says what comes then.
 * → `waiting`: to be restarted, when the back-off is over and, unless the strategy is one-for-one, none of its group is left to
 * end. → `stopped`: ended, its spec kept.
 *
 * A group restart and a shutdown are the same up to a point: a list of `doomed` children that end one after the other. An event tells
 * *that* something may have ended, never what: the child's present incarnation is asked, so late news of a former one does no harm.
 */
export class Supervision implements Engine<SupervisorContext> {
  readonly #scope: EngineScope<SupervisorContext>;
  readonly #settings: Settings;
  readonly #clock: SupervisionClock;
  readonly #alarms: Alarms;
  readonly #roster = new Roster();
  /** The static children's common budget. */
  readonly #window: RestartWindow;
  readonly #display: Display<SupervisorContext>;
  #phase: 'new' | 'running' | 'stopping' | 'over' = 'new';
  #status: SupervisorSnapshot['status'] = 'active';
  /** Why it ends with the status `error`. */
  #failure: { readonly error: unknown } | undefined;
  /** Static children that live and have to end, in start order: the last one is next. */
  #doomed: Child[] = [];
  /** Set while a group waits for its members' ends and the back-off. */
  #restarting = false;
  readonly #group: AlarmOwner = { id: undefined, alarm: undefined };

  constructor(scope: EngineScope<SupervisorContext>, settings: Settings) {
    this.#scope = scope;
    this.#settings = settings;
    this.#clock = settings.clock ?? clockOf(scope.system);
    this.#alarms = new Alarms(this.#clock, (event) => this.#tell(event));
    this.#window = new RestartWindow(settings.limits);
    for (const spec of settings.children) this.#roster.add(spec, { dynamic: false });
    this.#display = new Display(scope, this.#roster.context());
  }

  get snapshot(): SupervisorSnapshot {
    return this.#display.snapshot;
  }

  /** Never throws. */
  take(event: SupervisorEvent | OwnEvent): SupervisorSnapshot {
    try {
      if (this.#phase === 'new') this.#startAll();
      if (this.#phase !== 'over') this.#handle(event);
      this.#proceed();
    } catch (error) {
      // Only what was passed in, a clock or an inspector, throws here.
      return this.fail(error);
    }
    return this.#show();
  }

  /** Thrown from here it would leave the children running with nobody to stop them. */
  fail(error: unknown): SupervisorSnapshot {
    this.#failure = { error };
    this.#abandon('error');
    return this.#show();
  }

  /** The supervisor itself is stopped by force, and so are its children. */
  stop(): SupervisorSnapshot {
    this.#abandon('stopped');
    return this.#show();
  }

  #handle(event: SupervisorEvent | OwnEvent): void {
    switch (event.type) {
      case 'stop':
      case 'supervisor.stop':
        return this.#shutDown();
      case 'child.start':
        return this.#startDynamic(event.child);
      case 'child.stop':
      case 'child.restart':
      case 'child.delete':
        return this.#meet(event.type, event.id);
      case 'supervisor.alarm':
        return this.#rang(event);
      case 'supervisor.check':
        return this.#observe(event.id);
      default:
        if (END_REPORT.test(event.type)) this.#observe(event.type.replace(END_REPORT, ''));
    }
  }

  // Requests

  /** OTP's start_child of a simple_one_for_one supervisor. */
  #startDynamic(given: ChildSpec): void {
    let spec;
    try {
      spec = checkSpec(given, this.#settings.autoShutdown);
      if (this.#settings.strategy !== 'one-for-one') {
        throw new OptionError(`Child "${spec.id}": only a one-for-one supervisor takes dynamic children.`);
      }
    } catch (error) {
      const id = idOf(given);
      return this.#emit({
        type: 'child.refused',
        request: 'child.start',
        id,
        code: 'invalid',
        error: toError(error),
      });
    }
    if (!this.#refuses('child.start', spec.id)) this.#launch(this.#roster.add(spec, { dynamic: true }));
  }

  /** OTP's terminate_child, restart_child and delete_child. */
  #meet(request: Exclude<Request, 'child.start'>, id: string): void {
    if (this.#refuses(request, id)) return;
    const child = this.#roster.get(id);
    if (!child || this.#phase === 'stopping') return;
    if (request === 'child.delete') {
      this.#roster.forget(child);
    } else if (request === 'child.restart') {
      // A group that restarts takes it along, in its order.
      if (this.#restarting) this.#roster.show(child, 'waiting');
      else this.#relaunch(child);
    } else if (child.status === 'waiting') {
      this.#cancel(child);
    } else if (child.incarnation) {
      child.fate = 'stopped';
      if (child.status !== 'stopping') this.#end(child);
    }
  }

  #refuses(request: Request, id: string): boolean {
    const stopping = this.#phase === 'stopping' && request !== 'child.stop';
    const code: RefusalCode | undefined = stopping ? 'stopping' : refusal(request, this.#roster.get(id));
    if (code) this.#emit({ type: 'child.refused', request, id, code });
    return code !== undefined;
  }

  // Starting

  #startAll(): void {
    this.#phase = 'running';
    for (const child of this.#roster) {
      const outcome = this.#launch(child);
      if (outcome?.type === 'crashed') return this.#shutDown({ error: outcome.error });
    }
  }

  /** Returns how it ended, if it did so at once; that is dealt with in its turn. */
  #launch(child: Child): Outcome | undefined {
    child.incarnation = new Incarnation({ spec: child.spec, scope: this.#scope, restarts: child.restarts });
    child.incarnation.start();
    this.#roster.show(child, 'running');
    const outcome = child.incarnation.outcome();
    if (outcome) this.#tell({ type: 'supervisor.check', id: child.id });
    return outcome;
  }

  #relaunch(child: Child): Outcome | undefined {
    child.restarts += 1;
    const outcome = this.#launch(child);
    if (outcome?.type !== 'crashed') {
      this.#emit({ type: 'child.restarted', id: child.id, restarts: child.restarts });
    }
    return outcome;
  }

  // Ending

  /** Looks whether the child's incarnation is over. */
  #observe(id: string): void {
    const child = this.#roster.get(id);
    const outcome = child?.incarnation?.outcome();
    if (child && outcome) this.#ended(child, outcome);
  }

  /** Makes a child end whose `fate` is decided. */
  #end(child: Child): void {
    if (!child.incarnation) return;
    this.#roster.show(child, 'stopping');
    const shutdownMs = child.spec.shutdownMs();
    const outcome = child.incarnation.end(shutdownMs);
    if (outcome) this.#ended(child, outcome);
    else if (shutdownMs !== Infinity) this.#alarms.set(child, shutdownMs);
  }

  #ended(child: Child, outcome: Outcome): void {
    const { spec, fate } = child;
    this.#alarms.clear(child);
    child.incarnation?.release();
    child.incarnation = undefined;
    if (this.#doomed.at(-1) === child) this.#doomed.pop();
    else if (fate && !child.dynamic) this.#doomed = this.#doomed.filter((other) => other !== child);
    this.#report(child, outcome);
    if (fate) return this.#settle(child, fate);
    if (isRestarted(spec.restart, outcome.type === 'crashed')) return this.#recover(child, outcome);
    this.#settle(child, 'stopped');
    this.#shutDownIfSignificant(child);
  }

  #report(child: Child, outcome: Outcome): void {
    const { id, spec, fate, restarts } = child;
    if (outcome.type === 'killed') return this.#emit({ type: 'child.killed', id });
    if (outcome.type === 'ended') return this.#emit({ type: 'child.ended', id, output: outcome.output });
    const { error } = outcome;
    this.#emit({ type: 'child.crashed', id, error, restart: spec.restart, restarts });
    // What follows a crash is told elsewhere, except when nothing does.
    if (fate === 'stopped') this.#emit({ type: 'child.ended', id, output: undefined });
    else if (!fate && spec.restart === 'never') this.#emit({ type: 'child.gave-up', id, error });
  }

  /** Ends the wait for a restart. */
  #cancel(child: Child): void {
    this.#alarms.clear(child);
    this.#settle(child, 'stopped');
    this.#emit({ type: 'child.ended', id: child.id, output: undefined });
  }

  /** Dynamic children and `never` children leave nothing behind. */
  #settle(child: Child, fate: 'waiting' | 'stopped'): void {
    child.fate = undefined;
    if (fate === 'stopped' && (child.dynamic || child.spec.restart === 'never')) this.#roster.forget(child);
    else this.#roster.show(child, fate);
  }

  // Restarting

  #recover(child: Child, outcome: Outcome): void {
    const { strategy, limits, backoff, random } = this.#settings;
    const window = child.dynamic ? (child.window ??= new RestartWindow(limits)) : this.#window;
    if (!window.admit(this.#clock.now())) return this.#giveUp(child, outcome);
    const waitMs = backoff ? delayMs({ ...backoff, attempt: window.size }, random) : 0;
    this.#roster.show(child, 'waiting');
    if (strategy !== 'one-for-one') {
      this.#restarting = true;
      this.#doom(strategy === 'rest-for-one' ? child : undefined);
    }
    const owner = strategy === 'one-for-one' ? child : this.#group;
    if (waitMs > 0) this.#alarms.set(owner, waitMs);
    else if (owner === child) this.#relaunch(child);
  }

  /** All children, or all after this one, end and are started again: as in OTP also those that had stopped before. */
  #doom(after: Child | undefined): void {
    this.#doomed = [];
    let included = after === undefined;
    for (const child of this.#roster) {
      if (!included) {
        included = child === after;
      } else if (child.incarnation) {
        child.fate = child.spec.restart === 'never' ? 'stopped' : 'waiting';
        this.#doomed.push(child);
      } else {
        this.#roster.show(child, 'waiting');
      }
    }
  }

  #giveUp(child: Child, outcome: Outcome): void {
    const { intensity, periodMs } = this.#settings.limits;
    const error = new RestartIntensityError(
      `Child "${child.id}" of supervisor "${this.#scope.id}" ended once more after ${intensity} restarts within ${periodMs} ms. ` +
        'Mend its last error (the cause), or allow more with `intensity` and `periodMs`.',
      outcome.type === 'crashed' ? { cause: outcome.error } : {},
    );
    this.#settle(child, 'stopped');
    this.#emit({ type: 'child.gave-up', id: child.id, error });
    if (child.dynamic) this.#shutDownIfSignificant(child);
    else this.#shutDown({ error });
  }

  #rang({ id, number }: AlarmEvent): void {
    if (id === undefined) return void this.#alarms.spend(this.#group, number);
    const child = this.#roster.get(id);
    if (!child || !this.#alarms.spend(child, number)) return;
    if (child.status === 'waiting') this.#relaunch(child);
    else if (child.incarnation) this.#ended(child, child.incarnation.kill());
  }

  // Shutting down

  #shutDown(failure?: { readonly error: unknown }): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'stopping';
    this.#failure = failure;
    this.#alarms.clear(this.#group);
    this.#doomed = [];
    for (const child of this.#roster.reversed()) {
      if (child.status === 'waiting') {
        this.#cancel(child);
      } else if (!child.incarnation) {
        this.#settle(child, 'stopped');
      } else {
        child.fate = 'stopped';
        if (!child.dynamic) this.#doomed.unshift(child);
        else if (child.status !== 'stopping') this.#end(child);
      }
    }
  }

  /** Its own end, for good, may be the end of the supervisor's work. */
  #shutDownIfSignificant(child: Child): void {
    const { autoShutdown } = this.#settings;
    if (!child.spec.significant) return;
    const others = autoShutdown === 'all-significant' ? [...this.#roster] : [];
    if (!others.some(({ spec, status }) => spec.significant && status !== 'stopped')) this.#shutDown();
  }

  /** Goes on with what is under way, as far as it goes without waiting. */
  #proceed(): void {
    // Dynamic children were started last, and end all at once as in OTP: one after the other could take 100 deadlines.
    if (this.#phase === 'stopping' && this.#roster.dynamics > 0) return;
    for (let next = this.#doomed.at(-1); next; next = this.#doomed.at(-1)) {
      if (next.status !== 'stopping') this.#end(next);
      if (next.incarnation) return;
    }
    if (this.#phase === 'stopping') {
      this.#phase = 'over';
      this.#status = this.#failure ? 'error' : 'done';
    } else if (this.#restarting && !this.#group.alarm) {
      this.#startWaiting();
    }
  }

  #startWaiting(): void {
    this.#restarting = false;
    for (const child of this.#roster) {
      // Its crash comes in its turn, and includes those that are left.
      if (child.status === 'waiting' && this.#relaunch(child)?.type === 'crashed') return;
    }
  }

  #abandon(status: 'stopped' | 'error'): void {
    this.#phase = 'over';
    this.#status = status;
    this.#doomed = [];
    this.#alarms.clear(this.#group);
    for (const child of this.#roster.reversed()) {
      child.fate = 'stopped';
      if (child.incarnation) this.#ended(child, child.incarnation.kill());
      else if (child.status === 'waiting') this.#cancel(child);
      else this.#settle(child, 'stopped');
    }
  }

  // The actor

  #tell(event: OwnEvent): void {
    (this.#scope.self as AnyActorRef).send(event);
  }

  #emit(event: SupervisorEmitted): void {
    this.#display.emit(event);
  }

  #show(): SupervisorSnapshot {
    const error = this.#status === 'error' ? this.#failure?.error : undefined;
    return this.#display.show(this.#status, this.#roster.context(), error);
  }
}
