import type { Handler, Publish, PublishOptions } from '../flow/handler.js';
import type { Receipt } from '../model/receipt.js';
import type { TopicInput } from '../model/topic.js';
import type { CheckPatterns, CheckTopic, DataOf, MaybeCatalogue, MessageOf } from '../model/typed-message.js';
import type { ConsumeOptions } from './options.js';

/** `publish` of a master, or of a delivery, that knows its messages. */
export type TypedPublish<C> = <const Topic extends TopicInput>(
  topic: Topic & CheckTopic<C, Topic>,
  data: DataOf<C, Topic>,
  options?: PublishOptions,
) => Promise<Receipt>;

export type PublishOf<C extends MaybeCatalogue> = [C] extends [undefined] ? Publish : TypedPublish<C>;

export type HandlerOf<C extends MaybeCatalogue, Pattern> = Handler<MessageOf<C, Pattern>, PublishOf<C>>;

/** The options of `consume`: its bindings are patterns of the catalogue. */
export interface ConsumeOptionsOf<C, Bindings extends readonly TopicInput[]> extends Omit<
  ConsumeOptions,
  'bindings' | 'orderBy'
> {
  readonly bindings: Bindings & CheckPatterns<C, Bindings[number]>;
  readonly orderBy?: (message: MessageOf<C, Bindings[number]>) => string | undefined;
}

/** What `waitFor` resolves with: a message, or what `check` found. */
export type WaitResult<C, Pattern, Found> = MessageOf<C, Pattern> | Exclude<Awaited<Found>, undefined>;
