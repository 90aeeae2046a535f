import { bindingCases } from './bindings.js';
import type { ConformanceCase } from './case.js';
import { checkpointCases } from './checkpoint.js';
import { deadLetterCases } from './dead-letters.js';
import { envelopeCases } from './envelope.js';
import { exclusiveCases } from './exclusive.js';
import { hostileCases } from './hostile.js';
import { limitCases } from './limits.js';
import { ownershipCases } from './ownership.js';
import { patternCases } from './patterns.js';
import { publishCases } from './publish.js';
import { queueCases } from './queues.js';
import { sessionCases } from './session.js';
import { sharedCases } from './shared.js';
import { successionCases } from './succession.js';
import { transientCases } from './transient.js';

/** What every backend must do. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...publishCases,
  ...envelopeCases,
  ...patternCases,
  ...transientCases,
  ...exclusiveCases,
  ...sharedCases,
  ...successionCases,
  ...ownershipCases,
  ...bindingCases,
  ...checkpointCases,
  ...deadLetterCases,
  ...queueCases,
  ...limitCases,
  ...sessionCases,
  ...hostileCases,
];
