import { performance } from 'node:perf_hooks';
import type { DeliveryContext, Master } from 'signalbox';
import { pieces } from './pieces.js';
import type { Run } from './processes.js';
import { confirmed, handled, type Farm } from './records.js';
import { GOOD, type PlannedChange } from './schedulers.js';

export const BUILDERS = 'builders.linux';

/** `builds.<n>.finished` */
export interface Finished {
  readonly commit: string;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly durationMs: number;
  readonly lines: number;
  readonly at: Date;
  readonly attempt: number;
}

/** `logs.<n>.append`: a build that is tried again begins with line 1. */
export interface LogLine {
  readonly line: number;
  readonly attempt: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Builds, on every master: each request goes to one of them. */
export async function build(master: Master, farm: Farm): Promise<void> {
  await master.consume(
    BUILDERS,
    { bindings: ['buildrequests.*.new'], ownership: 'shared', concurrency: farm.concurrency },
    async (message, delivery) => {
      const { id, number, commit } = message.data as PlannedChange;
      const { attempt, signal } = delivery;
      await delivery.publish(['builds', number, 'started'], { commit, at: new Date(), attempt });
      const startedAt = performance.now();
      const command = farm.command.map((word) => word.replaceAll('{commit}', commit));
      const run = await farm.processes.start(command, farm.repository.path);
      farm.report({ type: 'runs', master: master.name, build: number });
      const kill = () => run.kill();
      signal.addEventListener('abort', kill, { once: true });
      if (signal.aborted) kill();
      try {
        const lines = await publishLog(run, number, delivery);
        const ending = await run.ended;
        // It did not end by itself: another master will do it again.
        signal.throwIfAborted();
        const durationMs = performance.now() - startedAt;
        const finished: Finished = { commit, ...ending, durationMs, lines, at: new Date(), attempt };
        const topic = ['builds', number, 'finished'];
        const receipt = await delivery.publish(topic, finished);
        // Whoever starts when a build succeeds must have it.
        if (finished.exitCode === 0) farm.report(confirmed(topic, receipt, [GOOD]));
        farm.report({ type: 'built', master: master.name, build: number, lines });
        farm.report(handled(id, delivery));
      } finally {
        signal.removeEventListener('abort', kill);
        run.kill();
        void run.ended.then(() => farm.report({ type: 'ran', master: master.name, build: number }));
      }
    },
  );
}

const NEW_LINE = 10;
const LINE_MAX_BYTES = 10_000;
/** Lines of one build that are published and not yet confirmed. */
const LINES_AHEAD = 100;

/** Publishes what the process writes, line by line; resolves with the number of lines once all are confirmed. */
async function publishLog(run: Run, build: string, { publish, attempt }: DeliveryContext): Promise<number> {
  const topic = ['logs', build, 'append'];
  let count = 0;
  let unconfirmed: Promise<unknown>[] = [];
  const confirm = async () => {
    const publishes = unconfirmed;
    unconfirmed = [];
    await Promise.all(publishes);
  };
  const follow = async (stream: 'stdout' | 'stderr') => {
    for await (const text of pieces(run[stream], { separator: NEW_LINE, maxBytes: LINE_MAX_BYTES })) {
      const line: LogLine = { line: ++count, attempt, stream, text };
      const publishing = publish(topic, line);
      // It is waited for a little later, and must not count as unhandled until then.
      publishing.catch(() => {});
      unconfirmed.push(publishing);
      if (unconfirmed.length >= LINES_AHEAD) await confirm();
    }
  };
  await Promise.all([follow('stdout'), follow('stderr')]);
  await confirm();
  return count;
}
