import type { Fault, Stage } from './faults.js';

/** A master that schedules and builds, wherever it runs. */
export interface BuildMaster {
  readonly name: string;
  /** It runs, and nobody has told it to end. */
  readonly isHere: boolean;
  /** Properly: it drains, and another takes over what it owns. Twice is once. */
  stop(): Promise<void>;
}

/** The build masters of one farm. */
export interface Crew {
  readonly masters: readonly BuildMaster[];
  /** Resolves when it schedules and builds; it is among the masters before. */
  join(name: string): Promise<void>;
  /** What may go wrong with these masters, in the order in which it does. */
  faults(stage: Stage): readonly Fault[];
  /** Nobody waits for a build any more: those that run are ended. */
  endBuilds(): void;
  /** For after all masters have stopped: what they left, a sentence each. */
  leftBehind(): readonly string[];
}
