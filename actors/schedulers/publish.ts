import type { Message } from '../../src/model/message.js';

/** What a scheduler gets: a message of a topic to which it is bound. */
export interface MessageEvent {
  readonly type: string;
  readonly message: Message;
}

/** What a scheduler emits so that it is published. */
export interface PublishEvent {
  readonly type: 'publish';
  readonly topic: string | readonly string[];
  readonly data: unknown;
}

/** Where a ready-made scheduler publishes, and what: by default all that it has to say. */
export interface Publication<Said> {
  readonly topic: string | readonly string[];
  readonly data?: (said: Said) => unknown;
}

export function publication<Said>({ topic, data }: Publication<Said>, said: Said): PublishEvent {
  return { type: 'publish', topic, data: data ? data(said) : said };
}
