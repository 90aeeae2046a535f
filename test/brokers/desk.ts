import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { rabbitServer } from './rabbit-server.js';
import { RabbitNode } from './rabbit-node.js';

/*
 * The brokers of a whole test run. Test files run in processes of their own: the first that asks here has the broker started,
 * all others get the same one, and it ends with the run. A run that needs none starts none.
 */

declare module 'vitest' {
  export interface ProvidedContext {
    brokerDesk: string;
  }
}

/** `rabbitmqctl` with these words, or where the broker is. */
export interface Question {
  readonly control?: readonly string[];
}

export interface Answer {
  readonly url?: string;
  /** What `rabbitmqctl` said; undefined if the broker is not ours. */
  readonly said?: string;
  /** Why there is none. */
  readonly missing?: string;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'sb-desk-'));
  const path = join(folder, 'desk');
  let rabbit: Promise<{ answer: Answer; node?: RabbitNode }> | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => {
      rabbit ??= startRabbit();
      const { control } = JSON.parse(text) as Question;
      void rabbit
        .then(async ({ answer, node }) =>
          control && node ? { ...answer, said: await node.control(...control) } : answer,
        )
        .catch((error: unknown): Answer => ({ missing: String(error) }))
        .then((answer) => socket.end(JSON.stringify(answer)));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  project.provide('brokerDesk', path);
  return async () => {
    await new Promise((resolve) => server.close(resolve));
    await (await rabbit)?.node?.close();
    rmSync(folder, { recursive: true, force: true });
  };
}

async function startRabbit(): Promise<{ answer: Answer; node?: RabbitNode }> {
  const url = process.env['SIGNALBOX_TEST_AMQP_URL'];
  if (url) return { answer: { url } };
  const found = rabbitServer();
  if (found.missing !== undefined) return { answer: { missing: found.missing } };
  try {
    const node = await RabbitNode.start(found.program);
    return { answer: { url: node.url }, node };
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
