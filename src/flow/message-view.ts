import type { Catalogue, Reading } from '../model/catalogue.js';
import type { Envelope, Message } from '../model/message.js';
import { parseTopic, type Topic } from '../model/topic.js';

const NO_KEY = Object.freeze({ key: undefined, params: Object.freeze({}) });
const OWN_SOURCE = 'signalbox:';

/** A message on its way to the handlers of this process: read at most once where all of them may share it. */
export class Parcel {
  #message: Message | undefined;
  #typed: Message | undefined;
  /** What the catalogue said, where that holds for every handler. */
  #reading: Reading | undefined;

  constructor(readonly envelope: Envelope) {}

  /**
   * What a handler gets. Throws a DecodeError if the body cannot be read; with a catalogue also an UnknownTopicError or an
   * InvalidDataError, or rejects with it where a schema answers later.
   */
  message(): Message;
  message(catalogue: Catalogue | undefined): Message | Promise<Message>;
  message(catalogue?: Catalogue): Message | Promise<Message> {
    if (catalogue) return this.#typedMessage(catalogue);
    if (this.#message && this.envelope.payload.isShareable) return this.#message;
    return (this.#message = new FrozenMessage(this.envelope, this.envelope.payload.value(), NO_KEY));
  }

  #typedMessage(catalogue: Catalogue): Message | Promise<Message> {
    const { payload, topic } = this.envelope;
    if (this.#typed && payload.isShareable) return this.#typed;
    const data = payload.value();
    if (this.#reading) return new FrozenMessage(this.envelope, data, this.#reading);
    const reading = catalogue.read(topicOf(topic), data);
    return reading instanceof Promise ? reading.then((later) => this.#read(later)) : this.#read(reading);
  }

  /** What a schema has made of the data is for one handler: the next one has its own made. */
  #read(reading: Reading): Message {
    const message = new FrozenMessage(this.envelope, reading.data, reading);
    if (!reading.isAsGiven) return message;
    this.#reading = reading;
    return (this.#typed = message);
  }
}

/** Deep-frozen. A Date can be changed even when frozen, so `time` is made at each reading. */
class FrozenMessage implements Message {
  readonly id: string;
  readonly topic: string;
  readonly words: readonly string[];
  readonly key: string | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly data: unknown;
  readonly source: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #time: number;

  constructor(envelope: Envelope, data: unknown, { key, params }: Pick<Reading, 'key' | 'params'>) {
    this.id = envelope.id;
    this.topic = envelope.topic;
    this.words = topicOf(envelope.topic).words;
    this.key = key;
    this.params = params;
    this.data = data;
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
function topicOf(topic: string): Topic {
  try {
    return parseTopic(topic);
  } catch {
    return { topic, words: Object.freeze(topic.split('.')) };
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
