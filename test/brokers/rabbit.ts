import { inject } from 'vitest';
import { atHand } from './at-hand.js';
import { ask } from './desk.js';

/** The RabbitMQ of this test run, or undefined. */
export function rabbit(): Promise<{ readonly url: string } | undefined> {
  return atHand('rabbit', 'RabbitMQ');
}

/** `rabbitmqctl` at that broker; undefined if it is not ours. */
export async function controlRabbit(...control: readonly string[]): Promise<string | undefined> {
  const { said } = await ask(inject('brokerDesk'), { broker: 'rabbit', control });
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
