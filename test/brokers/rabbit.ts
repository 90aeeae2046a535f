import { inject } from 'vitest';
import { ask } from './desk.js';

/**
 * The RabbitMQ of this test run, started when the first test asks for it. Undefined if none can be had: then that is said
 * in one line, and in CI the run fails.
 */
export async function rabbit(): Promise<{ readonly url: string } | undefined> {
  const { url, missing } = await ask(inject('brokerDesk'), {});
  if (url !== undefined) return { url };
  const text = `No RabbitMQ: its tests are SKIPPED. ${missing}`;
  if (process.env['CI']) throw new Error(text);
  console.warn(text);
  return undefined;
}

/** `rabbitmqctl` at that broker; undefined if it is not ours. */
export async function controlRabbit(...control: readonly string[]): Promise<string | undefined> {
  const { said } = await ask(inject('brokerDesk'), { control });
  return said;
}

/** What is left at the broker of names that begin so; undefined if it is not ours to ask. */
export async function leftAtRabbit(prefix: string): Promise<string[] | undefined> {
  const said = await controlRabbit('list_queues', 'name');
  return said === undefined ? undefined : leftOf(prefix, said);
}

/** Of a list of names, one a line. */
export function leftOf(prefix: string, said: string | undefined): string[] {
  return (said ?? '').split('\n').filter((name) => name.startsWith(prefix));
}
