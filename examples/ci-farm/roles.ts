import { performance } from 'node:perf_hooks';
import { TimeoutError, type DeliveryContext, type Master, type Message, type Receipt } from 'signalbox';
import type { LedgerRecord } from '../../src/testing/ledger.js';
import { readCommits, type Commit, type Repository } from './history.js';
import { pieces } from './pieces.js';
import type { Processes, Run } from './processes.js';

/*
 * What the masters of the farm do. A role takes a master and the farm, and needs nothing else: it runs as well in a
 * process of its own. What it has to say goes through `farm.report` as plain data.
 */

/** What a role knows of the farm. */
export interface Farm {
  readonly repository: Repository;
  /** `{commit}` stands for the commit. */
  readonly command: readonly string[];
  /** Builds that one master runs at a time. */
  readonly concurrency: number;
  readonly processes: Processes;
  report(record: FarmRecord): void;
}

/** Plain data: a line of JSON, where roles run in other processes. */
export type FarmRecord =
  | LedgerRecord
  /** The command of a build runs, or has ended. */
  | { readonly type: 'runs' | 'ran'; readonly master: string; readonly build: string }
  | { readonly type: 'built'; readonly master: string; readonly build: string; readonly lines: number }
  | { readonly type: 'following'; readonly build: string }
  /** `missing` lines came out of order or not at all between the first and the last that were seen. */
  | {
      readonly type: 'followed';
      readonly build: string;
      readonly lines: number;
      readonly missing: number;
    }
  | {
      readonly type: 'owner';
      readonly master: string;
      readonly queue: string;
      readonly epoch: number;
      readonly status: string;
    }
  /** It stops, or has gone. */
  | { readonly type: 'leaves'; readonly master: string }
  | { readonly type: 'trouble'; readonly master: string; readonly text: string };

export const SCHEDULER = 'scheduler.all';
export const BUILDERS = 'builders.linux';

/** `changes.<n>.new` */
interface Change {
  readonly commit: string;
  readonly author: string;
  readonly date: Date;
  readonly message: string;
  readonly files: readonly string[];
  readonly filesLeftOut: number;
}

/** `buildrequests.<n>.new` */
interface BuildRequest {
  readonly commit: string;
  readonly author: string;
  readonly date: Date;
  readonly files: number;
  /** Who asked, as the owner of which epoch: an observer sees by it whether two owners speak. */
  readonly master: string;
  readonly epoch: number;
}

/** `logs.<n>.append`: a build that is tried again begins with line 1. */
interface LogLine {
  readonly line: number;
  readonly attempt: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Changes that are published in one go, without waiting for one before the next. */
export interface Push {
  readonly size: number;
  /** Called when half of them are out; the others come when it resolves. */
  readonly middle: () => Promise<void>;
}

/** The change source: publishes the history push by push. `next` resolves when the push that begins with that change may go. */
export async function publishChanges(
  master: Master,
  farm: Farm,
  { commits, next }: { readonly commits: number; readonly next: (first: number) => Promise<Push> },
): Promise<void> {
  const history = readCommits(farm.repository, commits, farm.processes);
  const publish = async (number: number, { hash, ...rest }: Commit) => {
    const change: Change = { commit: hash, ...rest };
    const topic = ['changes', `${number}`, 'new'];
    farm.report(confirmed(topic, await untilConfirmed(master.publish(topic, change)), SCHEDULER));
  };
  try {
    for (let first = 1; first <= commits;) {
      const { size, middle } = await next(first);
      const push: Commit[] = [];
      while (push.length < size) push.push((await history.next()).value as Commit);
      const half = size >> 1;
      const publishing = push.slice(0, half).map((commit, index) => publish(first + index, commit));
      // They are waited for a little later, and must not count as unhandled until then.
      for (const one of publishing) one.catch(() => {});
      await middle();
      publishing.push(...push.slice(half).map((commit, index) => publish(first + half + index, commit)));
      await Promise.all(publishing);
      first += size;
    }
  } finally {
    await history.return(undefined);
  }
}

/** What the broker does not confirm in time is sent again, under the same id, until it is confirmed. */
async function untilConfirmed(publishing: Promise<Receipt>): Promise<Receipt> {
  for (;;)
    try {
      return await publishing;
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      publishing = error.retry();
    }
}

/** What a build master does. Resolves when it schedules and builds. */
export async function work(master: Master, farm: Farm): Promise<void> {
  watch(master, farm);
  await schedule(master, farm);
  await build(master, farm);
}

/** Turns each change into a build request. One master of all does it, in order, and under its fence. */
async function schedule(master: Master, farm: Farm): Promise<void> {
  await master.consume(SCHEDULER, { bindings: ['changes.*.new'] }, async (message, delivery) => {
    const { commit, author, date, files, filesLeftOut } = message.data as Change;
    const request: BuildRequest = {
      commit,
      author,
      date,
      files: files.length + filesLeftOut,
      master: delivery.master,
      epoch: delivery.epoch!,
    };
    const topic = ['buildrequests', message.words[1]!, 'new'];
    farm.report(confirmed(topic, await delivery.publish(topic, request), BUILDERS));
    farm.report(handled(message, delivery));
  });
}

/** Builds, on every master: each request goes to one of them. */
async function build(master: Master, farm: Farm): Promise<void> {
  await master.consume(
    BUILDERS,
    { bindings: ['buildrequests.*.new'], ownership: 'shared', concurrency: farm.concurrency },
    async (message, delivery) => {
      const build = message.words[1]!;
      const { commit } = message.data as BuildRequest;
      await delivery.publish(['builds', build, 'started'], {
        commit,
        at: new Date(),
        attempt: delivery.attempt,
      });
      const startedAt = performance.now();
      const command = farm.command.map((word) => word.replaceAll('{commit}', commit));
      const run = await farm.processes.start(command, farm.repository.path);
      farm.report({ type: 'runs', master: master.name, build });
      const kill = () => run.kill();
      delivery.signal.addEventListener('abort', kill, { once: true });
      if (delivery.signal.aborted) kill();
      try {
        const lines = await publishLog(run, build, delivery);
        const ending = await run.ended;
        // It did not end by itself: another master will do it again.
        delivery.signal.throwIfAborted();
        const durationMs = performance.now() - startedAt;
        const finished = { commit, ...ending, durationMs, lines, at: new Date(), attempt: delivery.attempt };
        await delivery.publish(['builds', build, 'finished'], finished);
        farm.report({ type: 'built', master: master.name, build, lines });
        farm.report(handled(message, delivery));
      } finally {
        delivery.signal.removeEventListener('abort', kill);
        run.kill();
        void run.ended.then(() => farm.report({ type: 'ran', master: master.name, build }));
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

/** Sees the build requests in the order in which the broker accepted them, whoever published them. */
export async function watchRequests(master: Master, farm: Farm): Promise<void> {
  await master.subscribe('buildrequests.*.new', (message) => {
    const { master: owner, epoch } = message.data as BuildRequest;
    farm.report({ type: 'effect', queue: SCHEDULER, epoch, master: owner, observer: master.name });
  });
}

/** One build of so many has a follower, and so many at most at a time. */
const FOLLOWED = 5;
const FOLLOWERS_MAX = 20;
/** A follower that began too late to see the end goes so long after it. */
const LATE_MS = 1_000;

export interface LogFollowers {
  /** For when no build runs any more: resolves when nobody follows. */
  end(): Promise<void>;
}

interface Follower {
  readonly over: Promise<void>;
  /** The build has ended: what is under way is still read. */
  buildEnded(): void;
}

/** As a web page does: looks at the log of some builds while they run, by a subscription for each. */
export async function followLogs(master: Master, farm: Farm): Promise<LogFollowers> {
  const followers = new Map<string, Follower>();
  await master.subscribe({ patterns: ['builds.*.started', 'builds.*.finished'] }, async (message) => {
    const build = message.words[1]!;
    if (message.words[2] === 'finished') return followers.get(build)?.buildEnded();
    if (Number(build) % FOLLOWED !== 0 || followers.size >= FOLLOWERS_MAX || followers.has(build)) return;
    const follower = await followLog(master, farm, build);
    followers.set(build, follower);
    void follower.over.then(() => followers.delete(build));
  });
  return {
    end: async () => {
      const rest = [...followers.values()];
      for (const follower of rest) follower.buildEnded();
      await Promise.all(rest.map(({ over }) => over));
    },
  };
}

/** Subscribed when it resolves. */
async function followLog(master: Master, farm: Farm, build: string): Promise<Follower> {
  const late = new AbortController();
  const patterns = [
    ['logs', build, 'append'],
    ['builds', build, 'finished'],
  ];
  const messages = await master.messages({ patterns }, { signal: late.signal });
  farm.report({ type: 'following', build });
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const read = async () => {
    let lines = 0;
    let missing = 0;
    let last: LogLine | undefined;
    try {
      for await (const message of messages) {
        if (message.words[0] === 'builds') break;
        const line = message.data as LogLine;
        if (last && line.attempt === last.attempt && line.line !== last.line + 1) missing++;
        last = line;
        lines++;
      }
    } catch {
      // It was late, or its master stops.
    }
    isOver = true;
    clearTimeout(timer);
    farm.report({ type: 'followed', build, lines, missing });
  };
  const buildEnded = () => {
    if (!isOver) timer ??= setTimeout(() => late.abort(), LATE_MS);
  };
  return { over: read(), buildEnded };
}

/** Reports what a master says of itself. Until the master stops. */
export function watch(master: Master, farm: Farm): void {
  const trouble = (text: string) => farm.report({ type: 'trouble', master: master.name, text });
  master.on('owner', ({ queue, epoch, status }) =>
    farm.report({ type: 'owner', master: master.name, queue, epoch, status }),
  );
  master.on('failure', ({ queue, topic, attempt, error }) =>
    trouble(`attempt ${attempt} of ${topic} failed${queue ? ` in ${queue}` : ''}: ${error.message}`),
  );
  master.on('dead-letter', ({ queue, id, error }) => trouble(`${id} is a dead letter of ${queue}: ${error}`));
  master.on('lost', ({ queue, reason }) => trouble(`${queue} is lost: ${reason.message}`));
  master.on('gap', ({ reason, missed }) =>
    trouble(`a subscriber missed ${missed ?? 'some'} messages: ${reason}`),
  );
  master.on('restart', ({ child, reason }) => trouble(`${child} was restarted: ${reason.message}`));
  master.on('warning', ({ text }) => trouble(text));
  master.done.catch((error: unknown) => trouble(String(error)));
  master.on('session', ({ state, reason }) => {
    if (state === 'waiting' || state === 'blocked' || state === 'failed')
      trouble(`the session is ${state}: ${reason}`);
  });
}

/** An id is `<producer>-<sequence>`. */
function confirmed(topic: readonly string[], { id }: Receipt, queue: string): LedgerRecord {
  const dash = id.lastIndexOf('-');
  return {
    type: 'confirmed',
    id,
    topic: topic.join('.'),
    producer: id.slice(0, dash),
    sequence: Number(id.slice(dash + 1)),
    queues: [queue],
  };
}

function handled(
  { id }: Message,
  { queue, master, epoch, attempt, redelivered }: DeliveryContext,
): LedgerRecord {
  return { type: 'handled', queue: queue!, id, master, epoch, attempt, redelivered, resent: false };
}
