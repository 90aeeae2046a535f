import type { Capabilities } from '../../backend.js';
import type { Lab } from './lab.js';

export type Area =
  | 'publish'
  | 'patterns'
  | 'transient'
  | 'durable-exclusive'
  | 'durable-shared'
  | 'ownership'
  | 'checkpoint'
  | 'dead-letters'
  | 'queues'
  | 'session'
  | 'hostile';

/** One thing that every backend does. It is data: any test runner can run it. */
export interface ConformanceCase {
  /** A sentence about the backend. */
  readonly name: string;
  readonly area: Area;
  /** Why a backend that says so of itself is not asked; undefined: it is. */
  readonly needs?: (capabilities: Capabilities) => string | undefined;
  /** Rejects if the backend does not do it. */
  run(lab: Lab): Promise<void>;
}

type Run = ConformanceCase['run'];
type Conditional = Required<Pick<ConformanceCase, 'needs' | 'run'>>;

/** The cases of an area by their sentences. */
export function casesOf(area: Area, cases: Readonly<Record<string, Run | Conditional>>): ConformanceCase[] {
  return Object.entries(cases).map(([name, what]) =>
    typeof what === 'function' ? { name, area, run: what } : { name, area, ...what },
  );
}

type Capability = 'queueLimit' | 'queueExpiry' | 'exactHandBack' | 'growingPrefetch';

/** A case for backends that have the capability; others are asked in another case to refuse it. */
export function having(capability: Capability, run: Run): Conditional {
  return { needs: (told) => (told[capability] ? undefined : `it has no ${capability}`), run };
}

export function lacking(capability: Capability, run: Run): Conditional {
  return { needs: (told) => (told[capability] ? `it has ${capability}` : undefined), run };
}
