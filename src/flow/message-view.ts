import type { Envelope, Message } from '../model/message.js';
import { parseTopic } from '../model/topic.js';

const NO_PARAMS = Object.freeze({});
const OWN_SOURCE = 'signalbox:';

/** A message on its way to the handlers of this process: read at most once where all of them may share it. */
export class Parcel {
  #message: Message | undefined;

  constructor(readonly envelope: Envelope) {}

  /** What a handler gets. Throws a DecodeError if the body cannot be read. */
  message(): Message {
    if (this.#message && this.envelope.payload.isShareable) return this.#message;
    return (this.#message = new FrozenMessage(this.envelope));
  }
}

/** Deep-frozen. A Date can be changed even when frozen, so `time` is made at each reading. */
class FrozenMessage implements Message {
  readonly id: string;
  readonly topic: string;
  readonly words: readonly string[];
  readonly key = undefined;
  readonly params = NO_PARAMS;
  readonly data: unknown;
  readonly source: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #time: number;

  constructor(envelope: Envelope) {
    this.id = envelope.id;
    this.topic = envelope.topic;
    this.words = wordsOf(envelope.topic);
    this.data = envelope.payload.value();
    this.source = sourceName(envelope.source);
    this.headers = envelope.headers;
    this.#time = envelope.time;
    Object.freeze(this);
  }

  get time(): Date {
    return new Date(this.#time);
  }

  toJSON(): object {
    const { id, topic, words, key, params, data, time, source, headers } = this;
    return { id, topic, words, key, params, data, time, source, headers };
  }
}

/** Another program may publish under a topic that breaks the grammar: then its words are what stands between the dots. */
function wordsOf(topic: string): readonly string[] {
  try {
    return parseTopic(topic).words;
  } catch {
    return Object.freeze(topic.split('.'));
  }
}

/** What was read last: messages that follow each other are often of one master. */
let lastSource = '';
let lastName = '';

function sourceName(source: string): string {
  if (source === lastSource) return lastName;
  lastSource = source;
  lastName = source.startsWith(OWN_SOURCE) ? source.slice(source.indexOf('/') + 1) : source;
  return lastName;
}
