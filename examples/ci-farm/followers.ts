import type { Master } from 'signalbox';
import type { LogLine } from './builds.js';
import type { Farm } from './records.js';

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
