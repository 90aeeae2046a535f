export type {
  Backend,
  Capabilities,
  Claim,
  ClaimSink,
  ConnectOptions,
  ConsumeOptions,
  Consumer,
  ConsumerSink,
  DeadLetter,
  Delivery,
  FailedAttempt,
  Holder,
  LetterDetails,
  Ownership,
  QueueSpec,
  QueueStatus,
  Refusals,
  Session,
  SessionSink,
  TransientQueue,
  TransientSink,
} from './backend.js';
export { systemEnvironment, type Clock, type Environment, type Timer } from './model/clock.js';
export { decodeEnvelope, encodeEnvelope, type ReceivedMessage, type WireMessage } from './model/codec.js';
export type { Envelope, Origin } from './model/message.js';
