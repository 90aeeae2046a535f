export { createMaster, Master, type PatternInput } from './master.js';
export type {
  ConsumeOptions,
  MasterOptions,
  RetryOptions,
  SpoolOptions,
  StopOptions,
  SubscribeOptions,
} from './master/options.js';
export type { ConsumerHandle } from './master/consumers.js';
export type { SubscriptionHandle } from './master/subscribers.js';
export type { CallOptions, DeleteQueueOptions, LettersOptions } from './master/queues.js';
export type { DeadLetter } from './master/letters.js';
export type { MasterEvents } from './master/events.js';
export type { WaitForOptions } from './master/wait-for.js';
export type {
  DeliveryContext,
  Handler,
  HandlerActor,
  HandlerFunction,
  PublishOptions,
  Settlement,
} from './flow/handler.js';
export type { Receipt } from './flow/outgoing.js';
export type { Message } from './model/message.js';
export { topicMatches, type TopicInput } from './model/topic.js';
export { TopicIndex } from './model/topic-index.js';
export * from './model/errors.js';
