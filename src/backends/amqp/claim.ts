import type { Claim, ClaimSink, Holder, QueueSpec } from '../../backend.js';
import type { Environment, Timer } from '../../model/clock.js';
import { FencedError, QueueDeletedError } from '../../model/errors.js';
import type { Alarm } from './alarm.js';
import type { Connection } from './connection.js';
import type { AmqpConsumer } from './consumer.js';
import type { Control } from './control.js';
import type { Direct } from './direct.js';
import type { DurableQueues } from './durable-queues.js';
import type { Names } from './names.js';
import { AmqpOwnership } from './ownership.js';
import { QueueWatch } from './queue-watch.js';
import { SignsOfLife } from './signs-of-life.js';
import type { Token } from './token.js';
import { deleted, TokenChannel } from './token-channel.js';

/** So long a proper stop waits for the broker to take the record of it, in heartbeats. */
const RELEASE_HEARTBEATS = 3;

/** What claims need of their session. */
export interface ClaimPorts {
  readonly connection: Connection;
  readonly direct: Direct;
  readonly control: Control;
  readonly queues: DurableQueues;
  readonly names: Names;
  readonly environment: Environment;
  readonly master: string;
  readonly heartbeatMs: number;
  /** At the end of the session its sinks stay silent. */
  readonly isLive: () => boolean;
  readonly alarm: Alarm;
  /** What this session declared the queue with, if it did. */
  readonly specOf: (queue: string) => QueueSpec | undefined;
  readonly consumerOf: (ownership: AmqpOwnership) => AmqpConsumer | undefined;
  /** What an owner has bound it to. */
  readonly bound: (queue: string, bindings: readonly string[]) => void;
  readonly ended: (claim: AmqpClaim) => void;
}

/**
 * A session's standing for the ownership of a queue. `tokens` of the moment stands in line at the broker; when it has won, a
 * save under the next epoch makes this the owner, once it has come back.
 */
export class AmqpClaim implements Claim {
  readonly #ports: ClaimPorts;
  readonly #sink: ClaimSink;
  readonly #watch: QueueWatch;
  #tokens: TokenChannel;
  #ownership: AmqpOwnership | undefined;
  #toldEpoch = 0;
  #isOpen = true;

  constructor(
    readonly queue: string,
    sink: ClaimSink,
    ports: ClaimPorts,
  ) {
    this.#sink = sink;
    this.#ports = ports;
    this.#tokens = this.#newTokens();
    this.#watch = new QueueWatch(queue, ports.queues, ports.environment.clock, (waiting) => {
      if (this.#ownership && ports.isLive()) sink.full(waiting);
    });
  }

  get ownership(): AmqpOwnership | undefined {
    return this.#ownership;
  }

  async open(): Promise<void> {
    await this.#tokens.open();
    if (this.#isOpen) this.#watch.start(undefined, this.#ports.specOf(this.queue)?.expiresMs);
  }

  /** Somebody says that he holds the queue. */
  heard(holder: Holder): void {
    if (!this.#isOpen || !this.#ports.isLive() || this.#tokens.isActive) return;
    if (holder.epoch <= this.#toldEpoch) return;
    this.#toldEpoch = holder.epoch;
    const { owner, epoch, queueId } = holder;
    this.#sink.standby({ owner, epoch, queueId });
  }

  async withdraw(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#close();
  }

  /** The session is going: no clean hand-over, but what is known of calls is kept. */
  async leave(): Promise<void> {
    const ownership = this.#ownership;
    if (ownership) await this.#unlessBlocked(() => ownership.noteCalls());
    await this.#close();
  }

  /** The session has gone. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.stop();
    this.#ownership?.end();
    this.#ports.ended(this);
    void this.#tokens.close();
  }

  /** The queue is gone. */
  lost(reason: Error): void {
    if (!this.#isOpen) return;
    const isLive = this.#ports.isLive();
    void this.#close();
    if (isLive) this.#sink.lost(reason);
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.stop();
    this.#ports.ended(this);
    await this.#giveUp();
  }

  /** The work channel before the token: then a successor finds its messages in place. */
  async #giveUp(): Promise<void> {
    const ownership = this.#ownership;
    this.#ownership = undefined;
    ownership?.end();
    const tokens = this.#tokens;
    if (ownership) await this.#ports.consumerOf(ownership)?.close();
    await tokens.close();
  }

  #newTokens(): TokenChannel {
    const { connection, direct, control, names, environment } = this.#ports;
    const tokens: TokenChannel = new TokenChannel(
      {
        connection,
        direct,
        clock: environment.clock,
        inbox: control.inbox,
        id: environment.randomId(),
        queue: this.queue,
        tokens: names.tokens(this.queue),
      },
      {
        won: (token) => void this.#won(tokens, token),
        answered: () => {
          if (tokens === this.#tokens) this.#signs?.answered();
        },
        knocked: (inbox) => {
          const ownership = this.#ownership;
          if (tokens === this.#tokens && ownership?.hasBound)
            void control.tellHolder(inbox, this.queue, ownership.holder).catch(() => {});
        },
        ended: (reason) => {
          if (tokens === this.#tokens) this.#channelEnded(reason);
        },
      },
    );
    return tokens;
  }

  #signs: SignsOfLife | undefined;

  async #won(tokens: TokenChannel, found: Token | undefined): Promise<void> {
    const { environment, heartbeatMs, queues, control, master, alarm, specOf } = this.#ports;
    const { clock } = environment;
    const spec = specOf(this.queue);
    const token: Token = {
      // A record that starts anew must not turn fences backwards, so the first epoch is a time.
      epoch: found ? found.epoch + 1 : Math.max(1, clock.wall()),
      sequence: 0,
      queueId: found?.queueId ?? environment.randomId(),
      owner: master,
      bindings: found?.bindings ?? [],
      limit: found?.limit ?? spec?.limit,
      expiresMs: found?.expiresMs ?? spec?.expiresMs,
      checkpoint: found?.checkpoint,
      begun: found?.begun ?? [],
      isClean: false,
    };
    const stands = () => this.#isOpen && this.#tokens === tokens && this.#ports.isLive();
    const sentAt = { now: clock.now(), wall: clock.wall() };
    try {
      const [work] = await Promise.all([queues.work(this.queue), tokens.save(token)]);
      if (!work) return this.lost(deleted(this.queue));
      // Those of a queue of this name that has expired.
      if (!found && token.expiresMs !== undefined) await queues.purgeLetters(this.queue);
    } catch {
      // Whatever ended the channel or the session has told of it.
      return;
    }
    if (!stands()) return;
    const signs = new SignsOfLife(clock, {
      heartbeatMs,
      send: () => tokens.giveBack(),
      silent: () => this.#fenced(new FencedError(`Queue "${this.queue}" gave no sign of life in time.`)),
    });
    const ownership: AmqpOwnership = new AmqpOwnership(this.queue, found, token, {
      tokens,
      signs,
      queues,
      isBlocked: () => alarm.isRaised,
      bound: (isFirst) => {
        this.#ports.bound(this.queue, ownership.bindings);
        if (isFirst) void control.announce(this.queue, ownership.holder).catch(() => {});
      },
      released: () => this.#release(ownership),
    });
    this.#signs = signs;
    this.#ownership = ownership;
    signs.start(sentAt);
    this.#sink.granted(ownership);
    this.#watch.start(token.limit?.messages, token.expiresMs);
  }

  async #release(ownership: AmqpOwnership): Promise<void> {
    if (this.#ownership !== ownership || !this.#isOpen) return;
    await this.#ports.consumerOf(ownership)?.close();
    await this.#unlessBlocked(() => ownership.writeClean());
    await this.#close();
  }

  /** A last word, for which a blocked or silent broker is not waited for. */
  async #unlessBlocked(say: () => Promise<void>): Promise<void> {
    const { environment, heartbeatMs, alarm } = this.#ports;
    if (alarm.isRaised) return;
    const { clock } = environment;
    let timer: Timer | undefined;
    const patience = new Promise<void>(
      (resolve) => (timer = clock.setTimeout(resolve, heartbeatMs * RELEASE_HEARTBEATS)),
    );
    await Promise.race([say().catch(() => {}), alarm.raised(), patience]);
    clock.clearTimeout(timer);
  }

  /** The broker has closed the channel that stands in line. */
  #channelEnded(reason: Error): void {
    if (!this.#isOpen || !this.#ports.connection.isOpen) return;
    if (reason instanceof QueueDeletedError) this.lost(reason);
    else if (reason instanceof FencedError) this.#fenced(reason);
    else this.lost(reason);
  }

  /** Back to the end of the line. */
  #fenced(reason: Error): void {
    const had = this.#ownership !== undefined;
    const stood = this.#giveUp();
    this.#toldEpoch = 0;
    this.#tokens = this.#newTokens();
    const tokens = this.#tokens;
    if (had) this.#sink.fenced(reason);
    void stood
      .then(() => (this.#isOpen && this.#tokens === tokens ? tokens.open() : undefined))
      .catch(() => {
        if (this.#ports.connection.isOpen) this.lost(deleted(this.queue));
      });
  }
}
