import type { ClaimSink } from '../../backend.js';
import { JetStreamClaim, type ClaimPorts } from './claim.js';
import type { JetStreamOwnership } from './ownership.js';

export type ClaimsPorts = Omit<ClaimPorts, 'ownershipsChanged' | 'ended'>;

/** What one session stands for. */
export class Claims {
  readonly #ports: ClaimsPorts;
  readonly #claims = new Set<JetStreamClaim>();

  constructor(ports: ClaimsPorts) {
    this.#ports = ports;
  }

  of(ownership: JetStreamOwnership): JetStreamClaim | undefined {
    return [...this.#claims].find((claim) => claim.ownership === ownership);
  }

  claim(queue: string, sink: ClaimSink): JetStreamClaim {
    const claim = new JetStreamClaim(queue, sink, {
      ...this.#ports,
      ownershipsChanged: () => this.#ports.signs.own([...this.#claims].some(({ ownership }) => ownership)),
      ended: (one) => this.#claims.delete(one),
    });
    this.#claims.add(claim);
    claim.look();
    return claim;
  }

  /** Of which queues it stands by. */
  get standbys(): string[] {
    return [...this.#claims].filter(({ isStandby }) => isStandby).map(({ queue }) => queue);
  }

  get owned(): string[] {
    return [...this.#claims].filter(({ ownership }) => ownership).map(({ queue }) => queue);
  }

  /** Something about a queue, or about all, may have changed. */
  look(queue?: string): void {
    for (const claim of [...this.#claims]) if (queue === undefined || claim.queue === queue) claim.look();
  }

  redriven(queue: string): void {
    for (const claim of this.#claims) if (claim.queue === queue) void claim.redriven().catch(() => {});
  }

  async leave(): Promise<void> {
    await Promise.all([...this.#claims].map((claim) => claim.leave()));
  }

  /** The session has gone. */
  end(): void {
    for (const claim of [...this.#claims]) claim.end();
  }
}
