export {
  conformanceCases,
  runCase,
  runConformance,
  type Bench,
  type ConformanceCase,
  type Connected,
  type Lab,
  type Register,
} from './conformance.js';
export { VirtualClock, virtualEnvironment } from './virtual-clock.js';
export {
  Ledger,
  type ConfirmedRecord,
  type EffectRecord,
  type HandledRecord,
  type LedgerRecord,
  type QueueVerdict,
  type Verdict,
} from './ledger.js';
