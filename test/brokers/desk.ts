import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { NatsNode } from './nats-node.js';
import { natsServer } from './nats-server.js';
import { RabbitNode } from './rabbit-node.js';
import { rabbitServer } from './rabbit-server.js';
import type { Found } from './server-program.js';

/*
 * The brokers of a whole test run. Test files run in processes of their own: the first that asks here has a broker started,
 * all others get the same one, and it ends with the run. A run that needs none starts none.
 */

declare module 'vitest' {
  export interface ProvidedContext {
    brokerDesk: string;
  }
}

export type BrokerName = 'rabbit' | 'nats';

/** Where that broker is. */
export interface Question {
  readonly broker: BrokerName;
  /** And what `rabbitmqctl` answers to these words. */
  readonly control?: readonly string[];
}

export interface Answer {
  readonly url?: string;
  /** Where it tells of itself by HTTP; undefined if the broker is not ours, or does not. */
  readonly monitor?: string;
  /** What `rabbitmqctl` said; undefined if the broker is not ours. */
  readonly said?: string;
  /** Why there is none. */
  readonly missing?: string;
}

interface Node {
  readonly url: string;
  readonly monitor?: string;
  control?(...words: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

interface Served {
  readonly answer: Answer;
  readonly node?: Node;
}

const brokers: Record<BrokerName, () => Promise<Served>> = {
  rabbit: () => serve('SIGNALBOX_TEST_AMQP_URL', rabbitServer, (program) => RabbitNode.start(program)),
  nats: () => serve('SIGNALBOX_TEST_NATS_URL', natsServer, (program) => NatsNode.start(program)),
};

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'sb-desk-'));
  const path = join(folder, 'desk');
  const started = new Map<BrokerName, Promise<Served>>();
  const served = (broker: BrokerName): Promise<Served> => {
    const known = started.get(broker) ?? brokers[broker]();
    started.set(broker, known);
    return known;
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => {
      void answerTo(JSON.parse(text) as Question, served)
        .catch((error: unknown): Answer => ({ missing: String(error) }))
        .then((answer) => socket.end(JSON.stringify(answer)));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  project.provide('brokerDesk', path);
  return async () => {
    await new Promise((resolve) => server.close(resolve));
    for (const served of started.values()) await (await served).node?.close();
    rmSync(folder, { recursive: true, force: true });
  };
}

async function answerTo(
  { broker, control }: Question,
  served: (broker: BrokerName) => Promise<Served>,
): Promise<Answer> {
  const { answer, node } = await served(broker);
  return control && node?.control ? { ...answer, said: await node.control(...control) } : answer;
}

async function serve(
  variable: string,
  find: () => Found,
  start: (program: string) => Promise<Node>,
): Promise<Served> {
  const url = process.env[variable];
  if (url) return { answer: { url } };
  const found = find();
  if (found.missing !== undefined) return { answer: { missing: found.missing } };
  try {
    const node = await start(found.program);
    return { answer: { url: node.url, ...(node.monitor && { monitor: node.monitor }) }, node };
  } catch (error) {
    return { answer: { missing: String(error) } };
  }
}

/** Asks the desk of this run. */
export function ask(path: string, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ path, allowHalfOpen: true });
    socket.end(JSON.stringify(question));
    socket
      .on('data', (chunk) => (text += chunk.toString()))
      .on('end', () => resolve(JSON.parse(text) as Answer))
      .on('error', reject);
  });
}
