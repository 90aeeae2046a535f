import type { Events } from '../flow/events.js';
import { isHandler, type Handler, type Publish } from '../flow/handler.js';
import { MessageStream } from '../flow/message-stream.js';
import type { Catalogue } from '../model/catalogue.js';
import { OptionError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import { parsePattern, type TopicInput } from '../model/topic.js';
import type { PatternInput } from '../model/typed-message.js';
import type { ConsumerHandle } from './consumer.js';
import type { Consumers } from './consumers.js';
import type { MasterEvents } from './events.js';
import {
  checkConsumeOptions,
  checkIsolation,
  checkKeys,
  checkMailbox,
  checkSignal,
  type ConsumeOptions,
  type Limits,
  type SubscribeOptions,
} from './options.js';
import type { Schedulers } from './schedulers.js';
import { checkScheduleOptions, type ScheduleOptions } from './scheduling.js';
import type { SubscriptionHandle } from './subscriber.js';
import type { Subscribers } from './subscribers.js';
import { waitForMessage, type WaitForOptions } from './wait-for.js';

export interface CallPorts {
  readonly limits: Limits;
  readonly events: Events<MasterEvents>;
  readonly subscribers: Subscribers;
  readonly consumers: Consumers;
  readonly schedulers: Schedulers;
  readonly publisher: (catalogue: Catalogue | undefined) => Publish;
  /** Throws a StoppedError if the master stops or has stopped. */
  readonly checkRunning: () => void;
}

/** The calls of a master that speak of messages: with its catalogue, or without one. */
export class Calls {
  readonly publish: Publish;
  readonly #ports: CallPorts;
  readonly #catalogue: Catalogue | undefined;

  constructor(ports: CallPorts, catalogue: Catalogue | undefined) {
    this.#ports = ports;
    this.#catalogue = catalogue;
    this.publish = ports.publisher(catalogue);
  }

  async subscribe(
    pattern: PatternInput,
    options: SubscribeOptions | Handler,
    handler: Handler = options as Handler,
  ): Promise<SubscriptionHandle> {
    checkHandler(handler);
    return this.#subscribe(pattern, handler === options ? {} : (options as SubscribeOptions), handler);
  }

  async #subscribe(
    pattern: PatternInput,
    given: SubscribeOptions,
    handler: Handler,
    overflowed?: (missed: number) => void,
  ): Promise<SubscriptionHandle> {
    this.#ports.checkRunning();
    checkKeys('subscribe', given, ['mailbox', 'isolation', 'signal']);
    const mailbox = checkMailbox(given.mailbox);
    const isolation = checkIsolation(given.isolation);
    const signal = checkSignal(given.signal);
    const patterns = this.#checkPatterns(pattern);
    signal?.throwIfAborted();
    const plan = { patterns, mailbox, isolation, signal, catalogue: this.#catalogue, overflowed };
    return this.#ports.subscribers.start(plan, handler);
  }

  async consume(queue: string, options: ConsumeOptions, handler: Handler): Promise<ConsumerHandle> {
    checkHandler(handler);
    this.#ports.checkRunning();
    const plan = checkConsumeOptions(queue, options, this.#ports.limits);
    if (this.#catalogue) for (const binding of plan.bindings) this.#catalogue.checkPattern(binding);
    return this.#ports.consumers.consume(plan, handler, this.#catalogue);
  }

  async schedule(queue: string, options: ScheduleOptions): Promise<ConsumerHandle> {
    this.#ports.checkRunning();
    const plan = checkScheduleOptions(queue, options, this.#ports.limits);
    if (this.#catalogue) for (const binding of plan.consumer.bindings) this.#catalogue.checkPattern(binding);
    return this.#ports.schedulers.start(plan, this.#catalogue);
  }

  waitFor(pattern: PatternInput, options: WaitForOptions = {}): Promise<unknown> {
    return waitForMessage(
      this.#ports.limits.environment.clock,
      (handler) => this.subscribe(pattern, handler),
      options,
    );
  }

  async messages(
    pattern: PatternInput,
    options: SubscribeOptions = {},
  ): Promise<AsyncIterableIterator<Message>> {
    checkKeys('messages', options, ['mailbox', 'isolation', 'signal']);
    const signal = checkSignal(options.signal);
    const bounds = checkMailbox(options.mailbox);
    const { limits, events } = this.#ports;
    const stream = new MessageStream(limits.environment.clock, bounds, (missed) =>
      events.emit('gap', { subscription, reason: 'mailbox', missed }),
    );
    const subscription = await this.#subscribe(pattern, options, stream.handler, stream.missed);
    // The loop does not wait until the broker has let go.
    const abort = () => stream.fail(signal!.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    void subscription.ended.then(() => {
      signal?.removeEventListener('abort', abort);
      if (subscription.error) stream.fail(subscription.error);
      else stream.end();
    });
    return stream.from(subscription);
  }

  #checkPatterns(input: PatternInput): readonly string[] {
    const isList = typeof input === 'object' && input !== null && 'patterns' in input;
    if (isList) checkKeys('a list of patterns', input, ['patterns']);
    const inputs: readonly TopicInput[] = isList ? input.patterns : [input];
    if (!Array.isArray(inputs) || inputs.length === 0)
      throw new OptionError('patterns must be a list of at least one.');
    const patterns = [...new Set(inputs.map((one: TopicInput) => parsePattern(one).pattern))];
    if (this.#catalogue) for (const pattern of patterns) this.#catalogue.checkPattern(pattern);
    return patterns;
  }
}

function checkHandler(handler: unknown): void {
  if (!isHandler(handler)) throw new OptionError('The handler must be a function or an actor with send().');
}

/** The same master with other calls: everything else is its own. */
export function withCalls<M extends object>(master: M, calls: Calls): M {
  return new Proxy(master, {
    get: (target, name) => {
      const owner: object = name in calls && name !== 'constructor' ? calls : target;
      const value: unknown = Reflect.get(owner, name, owner);
      return typeof value === 'function' && name !== 'constructor' ? (value.bind(owner) as unknown) : value;
    },
  });
}
