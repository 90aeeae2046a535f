import type { ClaimSink, Holder, QueueSpec } from '../../backend.js';
import { queueError } from './broker-errors.js';
import { AmqpClaim, type ClaimPorts } from './claim.js';
import type { KnownQueue } from './control.js';
import type { AmqpOwnership } from './ownership.js';
import type { SessionParts } from './session.js';

type Parts = Pick<
  SessionParts,
  'consuming' | 'direct' | 'control' | 'queues' | 'names' | 'options' | 'known' | 'heartbeatMs'
>;

export interface ClaimsPorts extends Parts, Pick<ClaimPorts, 'alarm' | 'isLive' | 'consumerOf' | 'bound'> {}

/** What one session stands for. */
export class Claims {
  readonly #ports: ClaimsPorts;
  readonly #claims = new Set<AmqpClaim>();
  readonly #specs = new Map<string, QueueSpec>();

  constructor(ports: ClaimsPorts) {
    this.#ports = ports;
  }

  /** Its settings go into the record, if this session makes the first one. */
  declared(spec: QueueSpec): void {
    this.#specs.set(spec.name, spec);
  }

  of(ownership: AmqpOwnership): AmqpClaim | undefined {
    return [...this.#claims].find((claim) => claim.ownership === ownership);
  }

  async claim(name: string, sink: ClaimSink): Promise<AmqpClaim> {
    const { consuming, options, queues, known, isLive } = this.#ports;
    await queues.check(name);
    if (!isLive()) throw consuming.lostError();
    known.note(name);
    const claim = new AmqpClaim(name, sink, {
      ...this.#ports,
      connection: consuming,
      environment: options.environment,
      master: options.master,
      specOf: (queue) => this.#specs.get(queue),
      ended: (one) => this.#claims.delete(one),
    });
    this.#claims.add(claim);
    try {
      await claim.open();
    } catch (thrown) {
      claim.end();
      throw queueError(thrown, name);
    }
    return claim;
  }

  /** What this master tells others. */
  known(consumed: ReadonlySet<string>): KnownQueue[] {
    const claims = new Map([...this.#claims].map((claim) => [claim.queue, claim]));
    const { known } = this.#ports;
    return known.names.map((name) => {
      const claim = claims.get(name);
      const owned = claim?.ownership;
      const role = owned ? 'owner' : claim ? 'standby' : consumed.has(name) ? 'consumer' : undefined;
      const { epoch = 0, bindings = known.bindings(name) } = owned ?? {};
      const ownership = known.ownership(name);
      return { name, ownership, role, epoch, bindings, consumes: consumed.has(name) };
    });
  }

  heardOf(queue: string, holder: Holder): void {
    for (const claim of this.#claims) if (claim.queue === queue) claim.heard(holder);
  }

  async leave(): Promise<void> {
    await Promise.all([...this.#claims].map((claim) => claim.leave()));
  }

  /** The session has gone. */
  end(): void {
    for (const claim of [...this.#claims]) claim.end();
  }
}
