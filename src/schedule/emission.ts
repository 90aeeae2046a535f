import { checkHeaders } from '../model/codec.js';
import type { Envelope, OpenNumbers } from '../model/message.js';
import { Payload } from '../model/payload.js';
import type { Effect } from '../model/statechart.js';
import { parseTopic, type Topic, type TopicInput } from '../model/topic.js';

/** A message that a machine has published and nobody has confirmed yet: plain data. */
export interface Emission {
  readonly number: number;
  readonly topic: string;
  readonly body: string;
  readonly types: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Unix time in milliseconds. */
  readonly time: number;
}

/** What an emission must keep to. */
export interface EmissionRules {
  readonly maxBytes: number;
  /** Throws for what the catalogue does not have so. */
  readonly check: (topic: Topic, data: unknown) => void;
}

/** Throws what `publish` would reject with. */
export function makeEmission(
  effect: Extract<Effect, { type: 'publish' }>,
  number: number,
  time: number,
  rules: EmissionRules,
): Emission {
  const topic = parseTopic(effect.topic as TopicInput);
  const payload = Payload.of(effect.data, { maxBytes: rules.maxBytes });
  const headers = checkHeaders(effect.headers as Record<string, string> | undefined);
  rules.check(topic, payload.value());
  const { body, types } = payload.encode();
  return { number, topic: topic.topic, body, types, headers, time };
}

/** The emission as it goes to the broker: under the queue's own name as its producer. */
export function envelopeOf(
  { number, topic, body, types, headers, time }: Emission,
  from: { readonly producer: string; readonly source: string; readonly open: OpenNumbers },
  resent: boolean,
): Envelope {
  return {
    id: `${from.producer}-${number}`,
    topic,
    time,
    source: from.source,
    headers,
    payload: Payload.decode(body, types),
    origin: { producer: from.producer, sequence: number, open: from.open },
    resent,
    fence: undefined,
  };
}
