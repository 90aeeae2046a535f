import type { RetryPolicy } from '../model/settlement.js';
import type { ChartEvent, ChartSnapshot, Statechart } from '../model/statechart.js';
import type { Migrate, Version } from './checkpoint.js';
import type { Emission, EmissionRules } from './emission.js';

/** What a scheduler is, whoever runs it. */
export interface SchedulerSettings {
  readonly queue: string;
  readonly chart: Statechart;
  readonly input: unknown;
  readonly version: Version;
  readonly migrate: Migrate | undefined;
  readonly prefetch: number;
  readonly retry: RetryPolicy;
  readonly producerMemoryMs: number;
  /** Of the clocks of two masters. */
  readonly clockSkewMs: number;
  readonly rules: EmissionRules;
  /** CloudEvents `source` of what it emits. */
  readonly source: string;
}

export interface SchedulerReports {
  /** A transition has thrown on something that is no message. */
  setback(id: string, topic: string, attempt: number, error: Error): void;
  /** It was left out in the end. */
  dropped(id: string, topic: string, error: Error): void;
  /** The broker refuses an emission for good. */
  unsendable(emission: Emission, id: string, error: Error): void;
  /** The clock of whoever saved was so far ahead of this one. */
  skewed(byMs: number): void;
  /** The state cannot be saved. */
  unsaved(error: Error): void;
  /** It runs here from now on, or has made a transition. */
  moved(event: ChartEvent | undefined, snapshot: ChartSnapshot): void;
  /** It runs here no more. */
  left(): void;
}
