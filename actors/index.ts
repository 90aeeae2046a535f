export {
  createSupervisor,
  type AutoShutdown,
  type ChildSpec,
  type ChildStatus,
  type ChildView,
  type IncarnationInfo,
  type RefusalCode,
  type RestartOptions,
  type RestartPolicy,
  type RestartStrategy,
  type SupervisorContext,
  type SupervisorEmitted,
  type SupervisorEvent,
  type SupervisorLogic,
  type SupervisorOptions,
  type SupervisorSnapshot,
} from './supervisor.js';
export { createGroups, type GroupsOptions } from './groups.js';
export { masterMachine } from './master.js';
export { sessionMachine } from './session.js';
export { outboxMachine } from './outbox.js';
export { subscriberMachine } from './subscriber.js';
export { consumerMachine } from './consumer.js';
export { fillPromise, fillResource } from './slots.js';
export { treeStable, type TreeStableOptions } from './schedulers/tree-stable.js';
export { periodic, type PeriodicOptions } from './schedulers/periodic.js';
export { nightly, type NightlyOptions } from './schedulers/nightly.js';
export { dependent, type DependentOptions } from './schedulers/dependent.js';
export type { MessageEvent, Publication, PublishEvent } from './schedulers/publish.js';
