export { createMaster, Master } from './master.js';
export type {
  ConsumeOptions,
  MasterOptions,
  RetryOptions,
  SpoolOptions,
  StopOptions,
  SubscribeOptions,
} from './master/options.js';
export type { ConsumerHandle } from './master/consumer.js';
export type { ScheduleOptions } from './master/scheduling.js';
export type { Migrate, SavedState, Version } from './schedule/checkpoint.js';
export type { SubscriptionHandle } from './master/subscriber.js';
export type { CallOptions, DeleteQueueOptions, LettersOptions } from './master/queues.js';
export type { DeadLetter, FailedAttempt } from './master/letters.js';
export type { MasterEvents } from './master/events.js';
export type { Metrics } from './master/metrics.js';
export type { WaitForOptions } from './master/wait-for.js';
export type {
  DeliveryContext,
  Handler,
  HandlerActor,
  HandlerFunction,
  PublishOptions,
  Settlement,
} from './flow/handler.js';
export { Catalogue, defineMessages, type } from './model/catalogue.js';
export type { Definitions } from './model/key-checks.js';
export type { Message } from './model/message.js';
export type { Receipt } from './model/receipt.js';
export type { StandardSchema } from './model/standard-schema.js';
export type { MaybeCatalogue, MessageOf, PatternInput } from './model/typed-message.js';
export { topicMatches, type TopicInput } from './model/topic.js';
export { TopicIndex } from './model/topic-index.js';
export * from './model/errors.js';
