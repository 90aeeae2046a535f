import type { Clock, Timer } from '../../model/clock.js';
import { MasterNameTakenError } from '../../model/errors.js';
import { replyCode, Reply } from './broker-errors.js';
import type { Connection } from './connection.js';
import type { Names } from './names.js';

export interface NamePorts {
  readonly connection: Connection;
  readonly names: Names;
  readonly master: string;
  readonly incarnation: string;
  readonly clock: Clock;
  /** Until the name is tried again while a dead connection of ours holds it. */
  readonly retryMs: number;
  /** Ends an earlier session of this incarnation, if it lives. */
  replace(): Promise<void>;
}

/** How often, and how long apart, an earlier session of ours is waited for: it lives in this process. */
const TRIES = 20;
const TRY_MS = 25;

/**
 * The name of a master, held by a queue that only one connection can have, and that is gone with it. A second one says whose
 * it is: a master that connects again is not kept out by its own connection that the broker has not yet given up.
 */
export class MasterName {
  readonly #ports: NamePorts;
  #timer: Timer | undefined;
  #isTaken = false;

  private constructor(ports: NamePorts) {
    this.#ports = ports;
  }

  /** MasterNameTakenError if a living master of another incarnation has it. */
  static async take(ports: NamePorts): Promise<MasterName> {
    const name = new MasterName(ports);
    if (await name.#tryToTake()) return name;
    if (!(await name.#isOurs())) {
      // Its holder may have gone between the two looks.
      if (await name.#tryToTake()) return name;
      throw new MasterNameTakenError(`A living master is named "${ports.master}". Pick another name.`);
    }
    await ports.replace();
    for (let tries = 0; tries < TRIES; tries++) {
      if (await name.#tryToTake()) return name;
      await new Promise<void>((resolve) => ports.clock.setTimeout(resolve, TRY_MS));
    }
    // The broker still has our dead connection; until it notices, nobody else can take the name either.
    name.#takeLater();
    return name;
  }

  stop(): void {
    this.#ports.clock.clearTimeout(this.#timer);
  }

  /** Another may have it from now on. */
  async giveBack(): Promise<void> {
    this.stop();
    const { connection, names, master, incarnation } = this.#ports;
    if (!this.#isTaken) return;
    await connection.with(async (channel) => {
      await channel.deleteQueue(names.incarnation(master, incarnation));
      await channel.deleteQueue(names.master(master));
    });
  }

  #takeLater(): void {
    const { clock, retryMs, connection } = this.#ports;
    this.#timer = clock.setTimeout(() => {
      this.#tryToTake().then(
        (isTaken) => {
          if (!isTaken && connection.isOpen) this.#takeLater();
        },
        () => {},
      );
    }, retryMs);
  }

  async #tryToTake(): Promise<boolean> {
    const { connection, names, master, incarnation } = this.#ports;
    const options = { exclusive: true, durable: false };
    try {
      // They are of the connection, not of the channel.
      await connection.with(async (channel) => {
        await channel.assertQueue(names.master(master), options);
        await channel.assertQueue(names.incarnation(master, incarnation), options);
      });
      this.#isTaken = true;
      return true;
    } catch (error) {
      if (replyCode(error) === Reply.locked) return false;
      throw error;
    }
  }

  /** Whether it is this incarnation that holds the name, over another connection. */
  async #isOurs(): Promise<boolean> {
    const { connection, names, master, incarnation } = this.#ports;
    try {
      await connection.with((channel) => channel.checkQueue(names.incarnation(master, incarnation)));
      return true;
    } catch (error) {
      const code = replyCode(error);
      if (code === Reply.locked) return true;
      if (code === Reply.notFound) return false;
      throw error;
    }
  }
}
