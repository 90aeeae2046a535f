import type { Backend, ClaimSink, Ownership, Session } from '../../src/backend.js';
import type { Envelope } from '../../src/model/message.js';

/**
 * The steps of a scheduler between two inputs, as its broker sees them.
 *
 * - `save`: with acks. `forgetting`: without, as of what is confirmed meanwhile. Of both: `begun`, nothing has left the
 *   process; `sent`, it has, and nobody knows whether it arrived; `proven`, a successor will find it, and on a broker where acks go
 *   their own way none has left; `acked`, they have.
 * - `emission`: `begun`; `sent`; `confirmed`, the broker has it, and no save says so.
 */
export const STEPS = [
  'save.begun',
  'save.sent',
  'save.proven',
  'save.acked',
  'emission.begun',
  'emission.sent',
  'emission.confirmed',
  'forgetting.begun',
  'forgetting.sent',
  'forgetting.proven',
] as const;

export type Step = (typeof STEPS)[number];

export interface DeadlyStep {
  readonly step: Step;
  readonly queue: string;
  /** It is passed so often before. */
  readonly passes: number;
}

/** Steps of this process's schedulers at which it can be killed: by its own hand, as `kill -9` by another's. */
export class FaultPoints {
  readonly #emitted: (emission: Envelope) => void;
  #deadly: DeadlyStep | undefined;
  #passed = 0;

  /** Is told of each emission before it is published. */
  constructor(emitted: (emission: Envelope) => void = () => {}) {
    this.#emitted = emitted;
  }

  /** Counted from now on. */
  dieAt(deadly: DeadlyStep): void {
    this.#deadly = deadly;
    this.#passed = 0;
  }

  /** The same broker, over which the steps are noticed. */
  at(backend: Backend): Backend {
    return {
      name: backend.name,
      connect: async (options) => this.#tap(await backend.connect(options)),
    };
  }

  #tap(session: Session): Session {
    const claim = session.claim.bind(session);
    const publish = session.publish.bind(session);
    // A backend recognises its own sessions and ownerships: they stay what they are.
    session.claim = (queue, sink) => claim(queue, this.#tapped(sink));
    session.publish = (envelope, fence) => {
      if (!fence) return publish(envelope);
      this.#emitted(envelope);
      return this.#watched('emission', fence.queue, () => publish(envelope, fence));
    };
    return session;
  }

  #tapped(sink: ClaimSink): ClaimSink {
    return {
      ...sink,
      granted: (ownership) => {
        this.#tapSaves(ownership);
        sink.granted(ownership);
      },
    };
  }

  #tapSaves(ownership: Ownership): void {
    const save = ownership.save.bind(ownership);
    ownership.save = (checkpoint, settled) => {
      const kind = settled.length > 0 ? 'save' : 'forgetting';
      return this.#watched(kind, ownership.queue, () => save(checkpoint, settled));
    };
  }

  async #watched<T>(
    kind: 'save' | 'forgetting' | 'emission',
    queue: string,
    work: () => Promise<T>,
  ): Promise<T> {
    this.#reach(`${kind}.begun`, queue);
    const done = work();
    // Clients write at the end of a turn.
    const sent = turns().then(() => this.#reach(`${kind}.sent`, queue));
    const result = await done;
    if (kind === 'emission') this.#reach('emission.confirmed', queue);
    else {
      this.#reach(`${kind}.proven`, queue);
      if (kind === 'save') void sent.then(turns).then(() => this.#reach('save.acked', queue));
    }
    return result;
  }

  #reach(step: string, queue: string): void {
    const deadly = this.#deadly;
    if (deadly?.step !== step || deadly.queue !== queue) return;
    if (this.#passed++ >= deadly.passes) process.kill(process.pid, 'SIGKILL');
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
