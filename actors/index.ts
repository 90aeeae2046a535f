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
