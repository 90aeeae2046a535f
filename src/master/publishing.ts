import { outboxMachine, type OutboxEvent } from '../../actors/outbox.js';
import { fillPromise, fillResource } from '../../actors/slots.js';
import type { Ownership } from '../backend.js';
import { Admission, type Candidate } from '../flow/admission.js';
import type { Drains } from '../flow/drains.js';
import type { Events } from '../flow/events.js';
import type { Publish, PublishOptions } from '../flow/handler.js';
import type { Link } from '../flow/link.js';
import { Outbox, type LateMessage } from '../flow/outbox.js';
import type { Outgoing, Terms } from '../flow/outgoing.js';
import { SpoolNews } from '../flow/spool-news.js';
import type { Spool } from '../flow/spool.js';
import type { Tally } from '../flow/tally.js';
import type { Catalogue } from '../model/catalogue.js';
import { checkHeaders } from '../model/codec.js';
import { TimeoutError } from '../model/errors.js';
import { Payload } from '../model/payload.js';
import type { Receipt } from '../model/receipt.js';
import { parseTopic, type TopicInput } from '../model/topic.js';
import type { MasterEvents } from './events.js';
import { checkKeys, checkSignal, positive, type Limits } from './options.js';

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});
/** So many times the window may wait behind it. */
const WINDOWS_WAITING = 100;

/** What the options of a publish say, checked. */
interface Given {
  readonly terms: Terms;
  readonly headers: Readonly<Record<string, string>>;
}

/** From what the user gives to a checked message in the outbox; and the slots of the outbox actor. */
export class Publishing {
  readonly machine;
  readonly outbox: Outbox;
  readonly #admission: Admission;
  readonly #limits: Limits;

  constructor(ports: {
    limits: Limits;
    link: Link;
    drains: Drains;
    events: Events<MasterEvents>;
    incarnation: string;
    spool: Spool | undefined;
    tally: Tally;
  }) {
    const { limits, link, drains, events, incarnation, spool, tally } = ports;
    this.#limits = limits;
    const { clock, random } = limits.environment;
    const waitingMax = limits.publishWindow * WINDOWS_WAITING;
    const news = spool && new SpoolNews(clock, spool, (now) => events.emit('spool', now));
    this.outbox = new Outbox({
      clock,
      tally,
      incarnation,
      source: `signalbox:${limits.namespace}/${limits.name}`,
      window: limits.publishWindow,
      waitingMax,
      spooling: spool && {
        spool,
        random,
        changed: () => news!.changed(),
        refused: (message, reason) => events.emit('warning', warningOf(message, reason)),
      },
    });
    this.#admission = new Admission({ clock, waitingMax });
    this.machine = outboxMachine.provide({
      actors: {
        flow: fillResource<OutboxEvent, Record<string, never>>(() => {
          if (link.session) this.outbox.open(link.session);
          return () => this.outbox.hold();
        }),
        spool: fillResource<OutboxEvent, Record<string, never>>(
          (_, tell) =>
            news?.tell((holdsAny) => tell({ type: holdsAny ? 'spool.filled' : 'spool.emptied' })) ??
            (() => {}),
        ),
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
    const usual: Given = {
      terms: { timeoutMs: this.#limits.publishTimeoutMs, fence, signal: undefined },
      headers: NO_HEADERS,
    };
    return (topic, data, options) => {
      try {
        const given = options === undefined ? usual : this.#check(options, fence);
        return this.#publish(topic, data, given, catalogue);
      } catch (error) {
        return Promise.reject(error);
      }
    };
  }

  #check(options: PublishOptions, fence: Ownership | undefined): Given {
    checkKeys('publish', options, ['headers', 'timeoutMs', 'signal']);
    const { headers, timeoutMs = this.#limits.publishTimeoutMs, signal } = options;
    return {
      terms: { timeoutMs: positive('timeoutMs', timeoutMs), fence, signal: checkSignal(signal) },
      headers: checkHeaders(headers),
    };
  }

  #publish(
    input: TopicInput,
    data: unknown,
    { terms, headers }: Given,
    catalogue: Catalogue | undefined,
  ): Promise<Receipt> {
    const topic = parseTopic(input);
    const draft = {
      topic: topic.topic,
      headers,
      payload: Payload.of(data, { maxBytes: this.#limits.maxMessageBytes }),
    };
    if (!catalogue && !this.#admission.isWaiting) return this.outbox.publish(draft, terms);
    // What is sent is what was given, so that the receiver's schema reads what this one has read.
    const reading = catalogue?.read(topic, draft.payload.value());
    const verdict = reading instanceof Promise ? reading : undefined;
    if (!verdict && !this.#admission.isWaiting) return this.outbox.publish(draft, terms);
    const { timeoutMs, signal } = terms;
    const send = (leftMs: number) => this.outbox.publish(draft, { ...terms, timeoutMs: leftMs });
    const candidate: Candidate = { verdict, timeoutMs, signal, send, overdue: (cause) => late(cause) };
    const late = (cause: Error) => this.#late(this.outbox.late(draft, terms), draft.topic, candidate, cause);
    return this.#admission.admit(candidate);
  }

  /** A schema has not answered in time: what a retry sends still waits for its answer. */
  #late({ id, send }: LateMessage, topic: string, candidate: Candidate, cause: Error): TimeoutError {
    const overdue = (why: Error) => this.#late({ id, send }, topic, again, why);
    const again: Candidate = { ...candidate, signal: undefined, send, overdue };
    const retry = () => this.#admission.admit(again);
    const { timeoutMs } = candidate;
    return new TimeoutError({ id, topic, timeoutMs, outcome: 'not-sent', retry, cause });
  }
}

function warningOf(message: Outgoing | undefined, { message: why }: Error): { code: string; text: string } {
  return message
    ? {
        code: 'SPOOL_REFUSED',
        text: `The broker refuses message ${message.id} on "${message.envelope.topic}" from the spool, which sets it aside: ${why}`,
      }
    : { code: 'SPOOL_DAMAGED', text: `A message in the spool cannot be read and is set aside: ${why}` };
}
