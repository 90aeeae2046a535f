import type { Claim, Consumer, Delivery, Ownership, QueueSpec } from '../../src/backend.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import type { Envelope } from '../../src/model/message.js';

export interface Copy {
  readonly key: string;
  readonly envelope: Envelope;
  readonly position: number;
  readonly redrives: number;
  readonly writtenAt: number;
  attempts: number;
  redelivered: boolean;
  begun: boolean;
}

export class QueueModel {
  readonly ready: Copy[] = [];
  readonly letters: Copy[] = [];
  readonly line: ClaimModel[] = [];
  readonly consumers: ConsumerModel[] = [];
  bindings = new Set<string>();
  /** What had been written when they last changed. */
  bindingsWrittenAt = 0;
  owner: ClaimModel | undefined;
  epoch = 0;
  checkpoint = 'undefined';
  idleSince: number | undefined;
  positions = 0;
  readonly count = { accepted: 0, acked: 0, dropped: 0 };

  constructor(
    readonly spec: QueueSpec,
    readonly id: string,
  ) {}

  get held(): Copy[] {
    return this.consumers.flatMap((consumer) => consumer.held);
  }

  get isFull(): boolean {
    return this.spec.limit !== undefined && this.ready.length >= this.spec.limit.messages;
  }

  get inUse(): boolean {
    return this.owner !== undefined || this.line.length > 0 || this.consumers.length > 0;
  }

  append(envelope: Envelope, redrives: number, writtenAt: number): void {
    if (this.spec.limit?.onFull === 'drop-oldest')
      for (; this.isFull; this.count.dropped++) this.ready.shift();
    const key = `${envelope.id}/${redrives}`;
    const position = ++this.positions;
    const redelivered = redrives > 0;
    this.ready.push({ key, envelope, position, redrives, writtenAt, attempts: 0, redelivered, begun: false });
    if (redrives === 0) this.count.accepted++;
  }
}

export interface ClaimModel {
  readonly master: string;
  readonly queue: QueueModel;
  ownership: Ownership | undefined;
  /** What had been written when it had bound. */
  boundAt: number;
  told: { granted: number; lost: number };
  isOpen: boolean;
  /** Undefined until the call has resolved. */
  real: Claim | undefined;
}

export interface ConsumerModel {
  readonly queue: QueueModel;
  readonly claim: ClaimModel | undefined;
  readonly prefetch: number;
  held: Copy[];
  lost: number;
  isOpen: boolean;
  /** Undefined until the call has resolved. */
  real: Consumer | undefined;
}

export interface ListenerModel {
  readonly patterns: Set<string>;
  /** By producer, what is still to come. */
  readonly expected: Map<string, string[]>;
  isOpen: boolean;
}

export interface Handed {
  readonly delivery: Delivery;
  readonly consumer: ConsumerModel;
  readonly copy: Copy;
}

/** A session and what the model knows of it. */
export interface Master {
  readonly name: string;
  readonly session: HubSession;
  readonly claims: ClaimModel[];
  readonly consumers: ConsumerModel[];
  readonly listeners: { model: ListenerModel; bind(pattern: string): void; close(): void }[];
}
