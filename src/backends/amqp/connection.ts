import { connect, type Channel, type ChannelModel } from 'amqplib';
import type { Duplex } from 'node:stream';
import { ConnectError, SessionLostError, toError } from '../../model/errors.js';
import { withHeartbeat, type Address } from './address.js';
import { connectError } from './broker-errors.js';

export interface ConnectionOptions {
  readonly address: Address;
  readonly heartbeatSeconds: number;
  /** As the broker's tools show it. */
  readonly label: string;
  /** Options of the TLS socket: certificates and the like. */
  readonly tls: object;
  /** This process has had a connection to that vhost. */
  readonly wasThere: boolean;
  readonly signal: AbortSignal;
}

/** So many channels are kept for whoever needs one next. */
const SPARE_MAX = 4;

/** One AMQP connection. It never reconnects: that is the session actor's affair. */
export class Connection {
  /** Settles once: undefined after `close`, else why. */
  readonly closed: Promise<Error | undefined>;
  readonly #model: ChannelModel;
  readonly #lost: string;
  /** Open, and nothing is left on them. */
  readonly #spare: Channel[] = [];
  #end: { reason: Error | undefined } | undefined;
  #isClosing = false;

  private constructor(model: ChannelModel, shown: string) {
    this.#model = model;
    this.#lost = `The connection to ${shown} has ended.`;
    let trouble: Error | undefined;
    model.on('error', (error: Error) => (trouble ??= error));
    // A throw in one of our callbacks must not take the connection down in silence.
    model.on('handler-error', (error: Error) => (trouble ??= error));
    this.closed = new Promise((resolve) =>
      model.on('close', (error) => {
        const cause = trouble ?? (error ? toError(error) : undefined);
        const reason =
          this.#isClosing && !cause
            ? undefined
            : new SessionLostError(`${this.#lost} ${cause?.message ?? ''}`.trimEnd(), { cause });
        this.#end = { reason };
        resolve(reason);
      }),
    );
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const { address, heartbeatSeconds, label, tls, wasThere, signal } = options;
    signal.throwIfAborted();
    const connecting = connect(withHeartbeat(address.url, heartbeatSeconds), {
      ...tls,
      noDelay: true,
      clientProperties: { connection_name: label },
    });
    try {
      const model = await unlessAborted(connecting, signal);
      return new Connection(model, address.shown);
    } catch (thrown) {
      // Should it still come about, nobody wants it.
      connecting.then(discard, () => {});
      if (signal.aborted) throw toError(signal.reason);
      throw connectError(thrown, address.shown, wasThere);
    }
  }

  get isOpen(): boolean {
    return !this.#end && !this.#isClosing;
  }

  /** `4.0.5`, as the broker says. */
  get version(): string {
    const { version } = this.#model.connection.serverProperties as { version?: unknown };
    return typeof version === 'string' ? version : '';
  }

  onBlocked(blocked: (reason: string) => void, unblocked: () => void): void {
    this.#model.on('blocked', blocked);
    this.#model.on('unblocked', unblocked);
  }

  async channel(): Promise<Channel> {
    if (this.isOpen && this.#spare.length > 0) return this.#spare.pop()!;
    const channel = quiet(await this.#open(() => this.#model.createChannel()));
    channel.on('close', () => {
      const at = this.#spare.indexOf(channel);
      if (at >= 0) this.#spare.splice(at, 1);
    });
    return channel;
  }

  async confirmChannel() {
    return quiet(await this.#open(() => this.#model.createConfirmChannel()));
  }

  /**
   * A channel for a few operations that the broker may refuse: a refusal closes it, and nothing else. Nothing may be left on
   * it, no consumer and no message in hand: it is another's next.
   */
  async with<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = await this.channel();
    let isRefused = false;
    const refused = () => (isRefused = true);
    channel.on('error', refused);
    try {
      const result = await work(channel);
      if (this.isOpen && this.#spare.length < SPARE_MAX) this.#spare.push(channel);
      else void this.closeChannel(channel);
      return result;
    } catch (thrown) {
      if (!isRefused) void this.closeChannel(channel);
      throw this.isOpen ? thrown : this.lostError();
    } finally {
      channel.off('error', refused);
    }
  }

  /** Calls back when the broker has closed the channel alone: with its connection channels end first, and in silence. */
  whenAlone(channel: Channel, closed: () => void): void {
    channel.on('close', () =>
      queueMicrotask(() => {
        if (this.isOpen) closed();
      }),
    );
  }

  /** Resolves when the broker has processed what was said on it, and has back what it held. */
  async closeChannel(channel: Channel): Promise<void> {
    if (!this.isOpen) return;
    await Promise.race([channel.close().catch(() => {}), this.closed]);
  }

  /** Resolves when the broker has said goodbye, or is not heard of. */
  async close(): Promise<void> {
    if (!this.isOpen) return void (await this.closed);
    this.#isClosing = true;
    // What the library promises of a close may never come when the connection dies meanwhile.
    void this.#model.close().catch(() => {});
    await this.closed;
  }

  /** As if the process had died. */
  drop(reason: Error): void {
    if (this.#end) return;
    // The library knows of errors and ends of its stream, not of its disappearance.
    const { stream } = this.#model.connection as unknown as { readonly stream: Duplex };
    stream.destroy(reason);
  }

  lostError(): SessionLostError {
    return new SessionLostError(this.#lost, { cause: this.#end?.reason });
  }

  async #open<T>(create: () => Promise<T>): Promise<T> {
    if (!this.isOpen) throw this.lostError();
    try {
      return await create();
    } catch (thrown) {
      throw this.isOpen ? thrown : this.lostError();
    }
  }
}

/** Its errors are told to whoever waits for an answer, and `close` to everybody else. */
function quiet<C extends Channel>(channel: C): C {
  channel.on('error', () => {});
  return channel;
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new ConnectError('The attempt was given up.'));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function discard(model: ChannelModel): void {
  model.on('error', () => {});
  model.close().catch(() => {});
}
