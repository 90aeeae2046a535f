import type { Envelope } from '../../src/model/message.js';
import { Payload } from '../../src/model/payload.js';

export function payloadOf(data: unknown): Payload {
  return Payload.of(data, { maxBytes: 100 });
}

export function envelopeOf(id: string, topic = 'a.b'): Envelope {
  return {
    id,
    topic,
    time: 0,
    source: '',
    headers: {},
    payload: payloadOf(id),
    origin: undefined,
    resent: false,
    fence: undefined,
  };
}
