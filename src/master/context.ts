import type { Catalogue } from '../model/catalogue.js';
import type { Clock } from '../model/clock.js';
import type { Drains } from '../flow/drains.js';
import type { Dispatcher } from '../flow/dispatcher.js';
import type { Events } from '../flow/events.js';
import type { Publish } from '../flow/handler.js';
import type { Link } from '../flow/link.js';
import type { Tally } from '../flow/tally.js';
import type { Turns } from '../flow/turns.js';
import type { Ownership } from '../backend.js';
import type { MasterEvents } from './events.js';
import type { Limits } from './options.js';

/** What the parts of one master share. */
export interface MasterContext {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly link: Link;
  readonly drains: Drains;
  readonly turns: Turns;
  readonly tally: Tally;
  readonly events: Events<MasterEvents>;
  readonly dispatcher: Dispatcher;
  /** Publishes under an owner's fence and what a catalogue defines, where they are given. */
  readonly publisher: (fence: Ownership | undefined, catalogue: Catalogue | undefined) => Publish;
  /** Hands a child to the supervisor, which runs it until it is told otherwise. */
  startChild(child: ChildRequest): void;
  stopChild(id: string): void;
}

/** A child as the supervisor takes it. */
export interface ChildRequest {
  readonly id: string;
  readonly logic: import('xstate').AnyActorLogic;
  readonly input: unknown;
}
