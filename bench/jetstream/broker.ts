import { NatsNode } from '../../test/brokers/nats-node.js';
import { natsServer } from '../../test/brokers/nats-server.js';
import { withDeadline } from '../deadline.js';

/** A NATS of the benchmark's own, for as long as it runs. */
export async function withNats<T>(seconds: number, work: (node: NatsNode) => Promise<T>): Promise<T> {
  const server = natsServer();
  if (server.missing !== undefined) throw new Error(server.missing);
  const node = await NatsNode.start(server.program);
  try {
    return await withDeadline(seconds, () => work(node));
  } finally {
    await node.close();
  }
}
