import { outboxMachine, type OutboxEvent } from '../../actors/outbox.js';
import { fillPromise, fillResource } from '../../actors/slots.js';
import type { Ownership } from '../backend.js';
import { Admission } from '../flow/admission.js';
import type { Drains } from '../flow/drains.js';
import type { Publish, PublishOptions } from '../flow/handler.js';
import type { Link } from '../flow/link.js';
import { Outbox, type Receipt } from '../flow/outbox.js';
import type { Catalogue } from '../model/catalogue.js';
import { checkHeaders } from '../model/codec.js';
import { Payload } from '../model/payload.js';
import { parseTopic, type TopicInput } from '../model/topic.js';
import { checkKeys, positive, type Limits } from './options.js';

const NO_OPTIONS: PublishOptions = Object.freeze({});
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});
/** So many times the window may wait behind it. */
const WINDOWS_WAITING = 100;

/** From what the user gives to a checked message in the outbox; and the slots of the outbox actor. */
export class Publishing {
  readonly machine;
  readonly outbox: Outbox;
  readonly #admission: Admission;
  readonly #limits: Limits;
  readonly #source: string;

  constructor(ports: { limits: Limits; link: Link; drains: Drains; incarnation: string }) {
    const { limits, link, drains, incarnation } = ports;
    this.#limits = limits;
    this.#source = `signalbox:${limits.namespace}/${limits.name}`;
    const { clock } = limits.environment;
    const waitingMax = limits.publishWindow * WINDOWS_WAITING;
    this.outbox = new Outbox({ clock, incarnation, window: limits.publishWindow, waitingMax });
    this.#admission = new Admission({ clock, waitingMax });
    this.machine = outboxMachine.provide({
      actors: {
        flow: fillResource<OutboxEvent, Record<string, never>>(() => {
          if (link.session) this.outbox.open(link.session);
          return () => this.outbox.hold();
        }),
        drain: fillPromise<void, Record<string, never>>(() =>
          drains.run((deadline) => {
            this.#admission.close();
            return this.outbox.drain(deadline);
          }),
        ),
      },
    });
  }

  /** Rejects, and sends nothing, if the topic, the data or an option is wrong, or the catalogue does not have it so. */
  publisher(fence: Ownership | undefined, catalogue: Catalogue | undefined): Publish {
    return (topic, data, options) => {
      try {
        return this.#publish(topic, data, options, fence, catalogue);
      } catch (error) {
        return Promise.reject(error);
      }
    };
  }

  #publish(
    topic: TopicInput,
    data: unknown,
    options: PublishOptions = NO_OPTIONS,
    fence: Ownership | undefined,
    catalogue: Catalogue | undefined,
  ): Promise<Receipt> {
    const { maxMessageBytes, publishTimeoutMs, environment } = this.#limits;
    if (options !== NO_OPTIONS) checkKeys('publish', options, ['headers', 'timeoutMs', 'signal']);
    const { headers, timeoutMs, signal } = options;
    const parsed = parseTopic(topic);
    const draft = {
      topic: parsed.topic,
      time: environment.clock.wall(),
      source: this.#source,
      headers: headers === undefined ? NO_HEADERS : checkHeaders(headers),
      payload: Payload.of(data, { maxBytes: maxMessageBytes }),
    };
    const withinMs = timeoutMs === undefined ? publishTimeoutMs : positive('timeoutMs', timeoutMs);
    const send = (leftMs: number) => this.outbox.publish(draft, { timeoutMs: leftMs, fence, signal });
    // What is sent is what was given, so that the receiver's schema reads what this one has read.
    const reading = catalogue?.read(parsed, draft.payload.value());
    const verdict = reading instanceof Promise ? reading : undefined;
    if (!verdict && !this.#admission.isWaiting) return send(withinMs);
    return this.#admission.admit({ topic: parsed.topic, verdict, timeoutMs: withinMs, signal, send });
  }
}
