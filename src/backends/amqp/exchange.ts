import type { Clock } from '../../model/clock.js';
import { exchangeError, replyCode, Reply } from './broker-errors.js';
import type { Connection } from './connection.js';
import type { Names } from './names.js';

/** Until one who was making it is taken for gone. */
const PATIENCE_MS = 2_000;
const LOOK_MS = 20;

export interface ExchangePorts {
  readonly connection: Connection;
  readonly names: Names;
  readonly clock: Clock;
  /** Ends the sessions of all masters that had it: what they publish would reach nobody. Resolves when they have ended. */
  readonly endOthers: () => Promise<void>;
  /** Binds every durable queue that is known of, as its owner had it bound. */
  readonly bindAll: () => Promise<void>;
}

/**
 * The exchange of a namespace. Should somebody delete it, all bindings go with it, and once it is there again the broker would
 * confirm what no queue gets. So there is a mark beside it that goes when it goes: an exchange of its own whose one binding
 * leads to it, and which RabbitMQ deletes with that binding. The mark is made last, and nobody publishes without it.
 */
export class EventsExchange {
  readonly #ports: ExchangePorts;

  constructor(ports: ExchangePorts) {
    this.#ports = ports;
  }

  async isWhole(): Promise<boolean> {
    return this.#isThere(this.#ports.names.whole);
  }

  /** Resolves when it is there with all its bindings. */
  async ensure(): Promise<void> {
    const { names, endOthers, bindAll } = this.#ports;
    if (await this.isWhole()) return;
    if (!(await this.#isThere(names.events))) await endOthers();
    // At a first start several masters make it.
    else if (await this.#isMadeByAnother()) return;
    await this.#with(async (channel) => channel.assertExchange(names.events, 'topic', { durable: true }));
    await bindAll();
    await this.#with(async (channel) => {
      await channel.assertExchange(names.whole, 'fanout', { durable: true, autoDelete: true });
      await channel.bindExchange(names.events, names.whole, '');
    });
  }

  async #isMadeByAnother(): Promise<boolean> {
    const { clock } = this.#ports;
    for (let waited = 0; waited < PATIENCE_MS; waited += LOOK_MS) {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, LOOK_MS));
      if (await this.isWhole()) return true;
    }
    return false;
  }

  async #isThere(name: string): Promise<boolean> {
    try {
      await this.#with((channel) => channel.checkExchange(name));
      return true;
    } catch (error) {
      if (replyCode(error) === Reply.notFound) return false;
      throw error;
    }
  }

  async #with(work: Parameters<Connection['with']>[0]): Promise<void> {
    try {
      await this.#ports.connection.with(work);
    } catch (error) {
      throw exchangeError(error);
    }
  }
}
