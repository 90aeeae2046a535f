import { RabbitNode } from '../../test/brokers/rabbit-node.js';
import { rabbitServer } from '../../test/brokers/rabbit-server.js';
import { withDeadline } from '../deadline.js';

/** A RabbitMQ of the benchmark's own, for as long as it runs. */
export async function withRabbit<T>(seconds: number, work: (node: RabbitNode) => Promise<T>): Promise<T> {
  const server = rabbitServer();
  if (server.missing !== undefined) throw new Error(server.missing);
  const node = await RabbitNode.start(server.program);
  try {
    return await withDeadline(seconds, () => work(node));
  } finally {
    await node.close();
  }
}
