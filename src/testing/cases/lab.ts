import type { Capabilities, ConnectOptions } from '../../backend.js';
import type { Environment } from '../../model/clock.js';
import type { Envelope } from '../../model/message.js';
import type { Member } from './member.js';
import type { Received } from './records.js';

/** What a case works with: a namespace of its own on the broker under test. All that it makes is taken away after it. */
export interface Lab {
  readonly capabilities: Capabilities;
  readonly environment: Environment;
  /** What the backend calls itself. */
  readonly backendName: string;

  connect(
    master: string,
    options?: Partial<Pick<ConnectOptions, 'namespace' | 'incarnation' | 'signal'>>,
  ): Promise<Member>;
  /** A name that nothing else of this case has. */
  unique(name: string): string;
  /** A message of the case's own producer: the next of its numbers. */
  envelope(topic: string, data?: unknown, overrides?: Partial<Envelope>): Envelope;
  /** Messages of another producer. */
  producer(): Lab['envelope'];
  /** Waits for a condition, and rejects at a deadline. */
  eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void>;
  /** Waits until so many messages came, and compares what they hold; later ones are not waited for. */
  gets(received: Received, data: readonly unknown[]): Promise<void>;
  /** Lets time pass, for everybody. */
  elapse(ms: number): Promise<void>;
}
