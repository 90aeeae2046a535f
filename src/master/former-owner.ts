import type { Envelope } from '../model/message.js';

/** What is said of a message that a former owner got past the broker, and no handler gets. */
export function formerOwner({ id, topic, fence }: Envelope): { code: string; text: string } {
  const text = `Message ${id} on "${topic}" was published by a former owner of queue "${fence?.queue}" and dropped.`;
  return { code: 'FORMER_OWNER', text };
}
