/*
 * A state machine as pure functions: what `actors/` makes of an XState machine, and all that a scheduler knows of one.
 */

/** What a transition asks for, as data: nothing of it has happened. */
export type Effect =
  | { readonly type: 'publish'; readonly topic: unknown; readonly data: unknown; readonly headers: unknown }
  /** Send this event to the machine itself, after a delay. Another timer of that id is replaced; without an id none is. */
  | {
      readonly type: 'timer';
      readonly id: string | undefined;
      readonly event: ChartEvent;
      readonly delayMs: number;
    }
  | { readonly type: 'cancel'; readonly id: string }
  | {
      readonly type: 'invoke';
      readonly id: string;
      readonly input: unknown;
    }
  | { readonly type: 'stop'; readonly id: string }
  /** An action of the user's own. */
  | { readonly type: 'run'; readonly run: () => void };

export interface ChartEvent {
  readonly type: string;
}

/** Where a machine is. Its inside is the machine's own affair. */
export interface ChartSnapshot {
  readonly status: string;
}

export interface Step {
  readonly snapshot: ChartSnapshot;
  readonly effects: readonly Effect[];
}

export interface Statechart {
  /** The machine itself, for an inspector. */
  readonly logic: unknown;
  /** Throws what the machine throws. */
  start(input: unknown): Step;
  /** Throws what the machine throws; the snapshot is not changed. */
  step(snapshot: ChartSnapshot, event: ChartEvent): Step;
  /** Plain data that `restore` takes. */
  persist(snapshot: ChartSnapshot): unknown;
  /** Throws if the machine has no such state. */
  restore(persisted: unknown): ChartSnapshot;
  /** Runs the work that a snapshot has invoked under that id. */
  work(snapshot: ChartSnapshot, id: string, input: unknown, signal: AbortSignal): Promise<unknown>;
}
