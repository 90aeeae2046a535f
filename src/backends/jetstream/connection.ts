import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import {
  connect,
  PermissionViolationError,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
  type Subscription,
} from '@nats-io/transport-node';
import type { Socket } from 'node:net';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Clock } from '../../model/clock.js';
import { AccessError, ConnectError, SessionLostError, toError } from '../../model/errors.js';
import type { Address } from './address.js';
import { connectError, isPassing } from './api-errors.js';
import { loginOf, type NatsCredentials } from './credentials.js';

export interface ConnectionOptions {
  readonly address: Address;
  readonly credentials: NatsCredentials;
  /** Of the TLS socket: certificates and the like. */
  readonly tls: TlsOptions | undefined;
  /** As the server's monitoring shows it. */
  readonly label: string;
  /** A server that is silent for so long is given up. */
  readonly silenceMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How long a question to JetStream may take, with all that is asked again during an election. */
const API_PATIENCE_MS = 10_000;
const API_TRY_MS = 3_000;
const API_PAUSE_MS = 50;

type Payload = Uint8Array | string;
type PublishOptions = NonNullable<Parameters<NatsConnection['publish']>[2]>;

/** The block of headers of a message, as it goes over the wire. */
export type HeaderBlock = Uint8Array;

/** One NATS connection. It never reconnects: that is the session actor's affair. */
export class Connection {
  /** Settles once: undefined after `close`, else why. */
  readonly closed: Promise<Error | undefined>;
  readonly #nc: NatsConnection;
  readonly #clock: Clock;
  readonly #shown: string;
  readonly #settle: (reason: Error | undefined) => void;
  readonly #waiting = new Set<() => void>();
  #jsm: JetStreamManager | undefined;
  #end: { readonly reason: Error | undefined } | undefined;
  #isClosing = false;

  private constructor(nc: NatsConnection, options: ConnectionOptions) {
    this.#nc = nc;
    this.#clock = options.clock;
    this.#shown = options.address.shown;
    let settle!: (reason: Error | undefined) => void;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.#settle = settle;
    void nc.closed().then((error) => this.#ended(error ?? undefined));
    void this.#watch();
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const { address, credentials, tls, label, silenceMs, signal } = options;
    signal.throwIfAborted();
    const wanted: NodeConnectionOptions = {
      servers: [...address.servers],
      name: label,
      reconnect: false,
      timeout: Math.max(1_000, silenceMs),
      pingInterval: Math.max(250, Math.floor(silenceMs / 3)),
      maxPingOut: 2,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
      ...(await loginOf(address, credentials)),
      ...((address.isTls || tls) && { tls: (tls ?? {}) as NonNullable<NodeConnectionOptions['tls']> }),
    };
    const connecting = connect(wanted);
    try {
      return new Connection(await unlessAborted(connecting, signal), options);
    } catch (thrown) {
      // Should it still come about, nobody wants it.
      connecting.then((nc) => nc.close()).catch(() => {});
      if (signal.aborted) throw toError(signal.reason);
      throw connectError(thrown, address.shown);
    }
  }

  get isOpen(): boolean {
    return !this.#end && !this.#isClosing;
  }

  /** `2.9.10`, as the server says. */
  get version(): string {
    return this.#nc.info?.version ?? '';
  }

  /** Another one after each start of the server. What servers of a cluster know they know together. */
  get serverId(): string {
    return this.#nc.info?.cluster ?? this.#nc.info?.server_id ?? '';
  }

  /** Whether what is said here may be heard later elsewhere. */
  get isClustered(): boolean {
    return this.#nc.info?.cluster !== undefined;
  }

  get maxPayload(): number {
    return this.#nc.info?.max_payload ?? 1_048_576;
  }

  /** Throws a SessionLostError at the end. */
  publish(subject: string, payload: Payload, options: { reply?: string; headers?: HeaderBlock } = {}): void {
    if (this.#end) throw this.lostError();
    const { reply, headers } = options;
    const all: PublishOptions = {};
    if (reply !== undefined) all.reply = reply;
    // The library asks its headers for their bytes and for nothing else.
    if (headers) all.headers = { encode: () => headers } as unknown as NonNullable<PublishOptions['headers']>;
    try {
      this.#nc.publish(subject, payload, all);
    } catch (thrown) {
      throw this.#nc.isClosed() ? this.lostError() : thrown;
    }
  }

  /** `heard` never stops the client: what it throws ends the connection, with a reason. */
  subscribe(subject: string, heard: (message: Msg) => void): Subscription {
    if (!this.isOpen) throw this.lostError();
    return this.#nc.subscribe(subject, {
      callback: (error, message) => {
        if (error) return this.#refused(error);
        try {
          heard(message);
        } catch (thrown) {
          this.drop(toError(thrown));
        }
      },
    });
  }

  /** Resolves when the server has processed all that was said before. */
  async flush(): Promise<void> {
    if (this.#end) throw this.lostError();
    await this.during(this.#nc.flush());
  }

  /** Asks JetStream, again and again while an election or a restart keeps it from answering. */
  async api<T>(ask: (jsm: JetStreamManager) => Promise<T>, patienceMs = API_PATIENCE_MS): Promise<T> {
    const deadline = this.#clock.now() + patienceMs;
    for (;;) {
      if (this.#end) throw this.lostError();
      try {
        this.#jsm ??= await jetstreamManager(this.#nc, { checkAPI: false, timeout: API_TRY_MS });
        return await this.during(ask(this.#jsm));
      } catch (thrown) {
        if (this.#end) throw this.lostError();
        if (!isPassing(thrown)) throw thrown;
        if (this.#clock.now() > deadline)
          throw new ConnectError(
            `JetStream at ${this.#shown} gives no answer: is it enabled, and has it a leader?`,
            {
              cause: toError(thrown),
            },
          );
      }
      await this.pause();
    }
  }

  /** Between two questions about something that takes its time. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.#clock.setTimeout(resolve, API_PAUSE_MS));
  }

  /** One question, one answer. */
  request(subject: string, payload: Payload): Promise<Msg> {
    if (this.#end) return Promise.reject(this.lostError());
    return this.during(this.#nc.request(subject, payload, { timeout: API_TRY_MS }));
  }

  /** What it settles with, or a SessionLostError at the end of the connection. */
  during<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = () => reject(this.lostError());
      if (this.#end) return lost();
      this.#waiting.add(lost);
      work
        .then(resolve, (thrown: unknown) => reject(this.#end ? this.lostError() : toError(thrown)))
        .finally(() => this.#waiting.delete(lost));
    });
  }

  /** Calls back at the end, unless it is taken back by then. */
  onEnd(ended: () => void): () => void {
    if (this.#end) ended();
    else this.#waiting.add(ended);
    return () => this.#waiting.delete(ended);
  }

  /** Resolves when the server has all that was said, or is not heard of. */
  async close(): Promise<void> {
    if (!this.isOpen) return void (await this.closed);
    this.#isClosing = true;
    await this.during(this.#nc.flush()).catch(() => {});
    await Promise.race([this.#nc.close().catch(() => {}), this.closed]);
    this.#ended(undefined);
  }

  /** As if the process had died. */
  drop(reason: Error): void {
    if (this.#end) return;
    const { protocol } = this.#nc as unknown as { protocol: { transport: { socket?: Socket } } };
    protocol.transport.socket?.destroy();
    this.#ended(reason);
    void this.#nc.close().catch(() => {});
  }

  lostError(): SessionLostError {
    return new SessionLostError(`The connection to ${this.#shown} has ended.`, { cause: this.#end?.reason });
  }

  #ended(error: Error | undefined): void {
    if (this.#end) return;
    const reason =
      this.#isClosing && !error
        ? undefined
        : new SessionLostError(
            `The connection to ${this.#shown} has ended. ${error?.message ?? ''}`.trimEnd(),
            {
              cause: error,
            },
          );
    this.#end = { reason };
    for (const tell of [...this.#waiting]) tell();
    this.#waiting.clear();
    this.#settle(reason);
  }

  /** What the server complains of between the lines. */
  async #watch(): Promise<void> {
    for await (const status of this.#nc.status()) if (status.type === 'error') this.#refused(status.error);
  }

  #refused(error: Error): void {
    if (!(error instanceof PermissionViolationError)) return;
    const what = error.operation === 'publish' ? 'to publish to' : 'to subscribe to';
    const denied = new AccessError(`The server does not allow this user ${what} "${error.subject}".`, {
      cause: error,
    });
    this.#denied ??= denied;
    this.drop(denied);
  }

  #denied: AccessError | undefined;

  /** A permission that is missing: no other attempt would fare better. */
  get denied(): AccessError | undefined {
    return this.#denied;
  }
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new ConnectError('The attempt was given up.'));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
