import { OptionError } from '../model/errors.js';
import type { Message } from '../model/message.js';
import type { Receipt } from '../model/receipt.js';

/**
 * What a handler may say before it returns. The first word counts. A `delayMs` that makes no sense (negative, NaN) is as none:
 * the policy's delay; one that is too long for a timer is the longest.
 */
export type Settlement =
  | { readonly type: 'ack' }
  | { readonly type: 'retry'; readonly delayMs?: number }
  | { readonly type: 'reject'; readonly reason: string };

export interface PublishOptions {
  /** The user's own, carried as they are. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export type Publish = (
  topic: string | readonly string[],
  data: unknown,
  options?: PublishOptions,
) => Promise<Receipt>;

/** What a handler gets beside the message. `P`: how it may publish. */
export interface DeliveryContext<P = Publish> {
  /** Handler calls known to have begun for this message, over all masters, this one included. After a crash a lower bound. */
  readonly attempt: number;
  /** A handler may have been called with it before, or its producer has sent it again. */
  readonly redelivered: boolean;
  /** Undefined for a transient subscriber. */
  readonly queue: string | undefined;
  /** Undefined for a transient subscriber and for a shared queue. */
  readonly epoch: number | undefined;
  /** The master that runs this handler. */
  readonly master: string;
  /** Aborts when the owner is fenced, the handler's deadline passes, or the drain ends. Made on first use. */
  readonly signal: AbortSignal;
  /** Publishes, for an exclusive queue under its owner's fence. */
  readonly publish: P;
  /** Decides before the handler returns. A transient subscriber has nothing to settle: undefined. */
  readonly settle: ((settlement: Settlement) => void) | undefined;
}

export type HandlerFunction<M = Message, P = Publish> = (message: M, delivery: DeliveryContext<P>) => unknown;

/** An XState actor, or anything that takes events: it settles by `delivery.settle`. */
export interface HandlerActor<M = Message, P = Publish> {
  send(event: { type: string; message: M; delivery: DeliveryContext<P> }): void;
}

export type Handler<M = Message, P = Publish> = HandlerFunction<M, P> | HandlerActor<M, P>;

/** Throws an OptionError for what is no settlement: taken as a word it would leave the message unsettled for ever. */
export function checkSettlement(settlement: Settlement): void {
  const { type } = settlement ?? {};
  if (type === 'ack' || type === 'retry' || type === 'reject') return;
  throw new OptionError(`settle takes { type: 'ack' | 'retry' | 'reject' }, not the type ${String(type)}.`);
}

export function isHandler(value: unknown): value is Handler {
  if (typeof value === 'function') return true;
  return typeof value === 'object' && value !== null && 'send' in value && typeof value.send === 'function';
}

/** Calls a handler; an actor has answered once it has settled. */
export function callHandler(
  handler: Handler,
  message: Message,
  delivery: DeliveryContext,
  settled: () => Promise<void> | undefined,
): unknown {
  if (typeof handler === 'function') return handler(message, delivery);
  handler.send({ type: message.topic, message, delivery });
  return settled();
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
