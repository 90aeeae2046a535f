import type { Master } from '../../src/index.js';
import type { EvidenceWriter } from './evidence.js';

export interface PublishPlan {
  readonly topic: string;
  /** Names the sequence; it rises from 1 for each name. */
  readonly producer: string;
  /** The durable queues that must get it. */
  readonly queues: readonly string[];
  /** Infinity is no JSON: undefined goes on until it is stopped. */
  readonly count?: number;
  readonly perSecond?: number;
  readonly inFlight?: number;
  readonly bytes?: number;
}

export interface PublishOutcome {
  readonly published: number;
  readonly confirmed: number;
  /** By code. */
  readonly failed: Readonly<Record<string, number>>;
}

/** What a message of the lab holds. */
export interface LabData {
  readonly sequence: number;
  readonly filler?: string;
}

const TICK_MS = 10;

/** Publishes a sequence, and testifies to each confirm. */
export class Publisher {
  readonly ended: Promise<PublishOutcome>;
  readonly #master: Master;
  readonly #evidence: EvidenceWriter;
  readonly #plan: PublishPlan;
  readonly #filler: string | undefined;
  readonly #failed: Record<string, number> = {};
  #finish!: (outcome: PublishOutcome) => void;
  #published = 0;
  #confirmed = 0;
  #inFlight = 0;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;
  #begunAt = performance.now();

  constructor(master: Master, evidence: EvidenceWriter, plan: PublishPlan) {
    this.#master = master;
    this.#evidence = evidence;
    this.#plan = plan;
    this.#filler = plan.bytes === undefined ? undefined : 'x'.repeat(plan.bytes);
    this.ended = new Promise((resolve) => (this.#finish = resolve));
    if (plan.perSecond !== undefined) this.#timer = setInterval(() => this.#go(), TICK_MS);
    this.#go();
  }

  get outcome(): PublishOutcome {
    return { published: this.#published, confirmed: this.#confirmed, failed: this.#failed };
  }

  stop(): Promise<PublishOutcome> {
    this.#isStopped = true;
    this.#go();
    return this.ended;
  }

  get #allowed(): number {
    const { perSecond, count = Infinity } = this.#plan;
    if (perSecond === undefined) return count;
    return Math.min(count, ((performance.now() - this.#begunAt) / 1_000) * perSecond);
  }

  #go(): void {
    const { inFlight = 200, perSecond, count = Infinity } = this.#plan;
    const allowed = this.#allowed;
    // Whoever could not publish for a while does not catch up: the rate is a rate.
    if (perSecond !== undefined && allowed - this.#published > perSecond)
      this.#begunAt = performance.now() - (this.#published / perSecond) * 1_000;
    while (!this.#isStopped && this.#published < allowed && this.#inFlight < inFlight) this.#publish();
    if (this.#inFlight > 0 || !(this.#isStopped || this.#published >= count)) return;
    clearInterval(this.#timer);
    this.#finish(this.outcome);
  }

  #publish(): void {
    const { topic, producer, queues } = this.#plan;
    const sequence = ++this.#published;
    const data: LabData = this.#filler === undefined ? { sequence } : { sequence, filler: this.#filler };
    this.#inFlight++;
    this.#master.publish(topic, data).then(
      ({ id }) => {
        this.#evidence.write({ type: 'confirmed', id, topic, producer, sequence, queues });
        this.#confirmed++;
        this.#ended();
      },
      (thrown: unknown) => {
        const code = (thrown as { code?: string }).code ?? 'unknown';
        this.#failed[code] = (this.#failed[code] ?? 0) + 1;
        this.#ended();
      },
    );
  }

  #ended(): void {
    this.#inFlight--;
    this.#go();
  }
}
