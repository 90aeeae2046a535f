import { randomBytes } from 'node:crypto';
import { createMaster, QueueNotFoundError } from '../../src/index.js';
import type { Verdict } from '../../src/testing/ledger.js';
import { eventually } from '../eventually.js';
import { Laboratory } from './laboratory.js';
import type { SocketProxy } from './proxy.js';

export const QUEUE = 'work';
export const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };
export const consume = { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 };
export const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };

/** A laboratory at a broker that others use as well, in a namespace of its own. */
export abstract class BrokerLaboratory extends Laboratory {
  readonly namespace: string;
  readonly url: string;
  readonly #ownerTimeoutMs: number;

  protected constructor(url: string, ownerTimeoutMs: number) {
    const namespace = `faults-${randomBytes(6).toString('hex')}`;
    super({ broker: url, ownerTimeoutMs, namespace });
    this.namespace = namespace;
    this.url = url;
    this.#ownerTimeoutMs = ownerTimeoutMs;
  }

  handled(master?: string): number {
    return this.of('handled', master).length;
  }

  said(event: string, master?: string): readonly Readonly<Record<string, unknown>>[] {
    return this.of('said', master).flatMap((one) => (one.event === event ? [one.detail] : []));
  }

  /** A way to the broker that can be disturbed. */
  async detour(): Promise<{ proxy: SocketProxy; url: string }> {
    const proxy = await this.proxy(0, Number(new URL(this.url).port));
    return { proxy, url: this.url.replace(/:\d+$/, `:${proxy.port}`) };
  }

  /** Everything has ended well, and with its queues all of the namespace is gone from the broker. */
  async ended(...queues: readonly string[]): Promise<Verdict> {
    const judged = await this.verdict();
    const { namespace, url: broker } = this;
    await using janitor = await createMaster({
      name: 'janitor',
      broker,
      namespace,
      ownerTimeoutMs: this.#ownerTimeoutMs,
    });
    for (const queue of queues.length > 0 ? queues : [QUEUE])
      await janitor.deleteQueue(queue, { whileInUse: true }).catch((thrown: unknown) => {
        // A test may have deleted it, or an operator; what is left of it is counted all the same.
        if (!(thrown instanceof QueueNotFoundError)) throw thrown;
      });
    await janitor.stop();
    let left: readonly string[] = [];
    // Of a process that was killed the broker hears when its system tells.
    const isEmpty = async () => (left = await this.left()).length === 0;
    await eventually('the broker holds nothing of it', isEmpty, 20_000).catch((thrown: unknown) => {
      throw new Error(`${(thrown as Error).message} Left: ${left.join(', ')}.`);
    });
    return judged;
  }

  /** What the broker holds of this namespace, connections included, as far as it is ours to ask. */
  protected abstract left(): Promise<string[]>;
}
