export { createTestMaster, type TestMaster, type TestMasterOptions } from './test-master.js';
export { createTestBroker, type TestBroker, type TestBrokerOptions } from './test-broker.js';
export type { DelayOptions, DropOptions, EndFault, Faults } from './faults.js';
export type { Delay } from './fault-plan.js';
export type { DeadLettered, Handled, Published } from './records.js';
export type { PassOptions, TestClock } from './test-clock.js';
export { VirtualClock, virtualEnvironment } from './virtual-clock.js';
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
export {
  Ledger,
  type ConfirmedRecord,
  type EffectRecord,
  type HandledRecord,
  type LedgerRecord,
  type QueueVerdict,
  type Verdict,
} from './ledger.js';
