import { inject } from 'vitest';
import { ask, type Answer, type BrokerName } from './desk.js';

/**
 * The broker of that kind that this test run has, started when the first test asks for it. Undefined if none can be had:
 * then that is said in one line, and in CI the run fails.
 */
export async function atHand(
  broker: BrokerName,
  title: string,
): Promise<(Answer & { readonly url: string }) | undefined> {
  const { url, missing, ...answer } = await ask(inject('brokerDesk'), { broker });
  if (url !== undefined) return { url, ...answer };
  const text = `No ${title}: its tests are SKIPPED. ${missing}`;
  if (process.env['CI']) throw new Error(text);
  console.warn(text);
  return undefined;
}
