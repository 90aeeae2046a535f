import { createMaster } from '../src/index.js';
import { PREFETCH, WINDOW, type Contender, type Running } from './contender.js';

/** Who gets what is published: a durable queue's consumer, a subscriber, or a durable queue that nobody consumes. */
export type Target = 'consumer' | 'subscriber' | 'queue';

export function signalbox(name: string, target: Target): Contender {
  return {
    name,
    async open(broker) {
      const master = await createMaster({
        name: 'bench',
        broker,
        namespace: 'signalbox',
        publishWindow: WINDOW,
      });
      const running: Running = {
        publish: (data) => master.publish('bench.topic', data),
        handled: () => {},
        close: async () => {
          if (target !== 'subscriber') await master.deleteQueue('bench', { whileInUse: true });
          await master.stop();
        },
      };
      const handler = () => running.handled();
      if (target === 'subscriber') {
        await master.subscribe('bench.#', { mailbox: { limit: 100_000 } }, handler);
        return running;
      }
      const handle = await master.consume('bench', { bindings: ['bench.#'], prefetch: PREFETCH }, handler);
      await handle.until('active', { timeoutMs: 10_000 });
      if (target === 'queue') await handle.stop();
      return running;
    },
  };
}
