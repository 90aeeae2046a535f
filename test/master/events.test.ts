import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HubSession } from '../../src/backends/hub/hub-session.js';
import { RejectError, type Master, type MasterOptions } from '../../src/index.js';
import { EVENT_NAMES, type MasterEvents } from '../../src/master/events.js';
import { ConnectError } from '../../src/model/errors.js';
import { eventually } from '../eventually.js';
import { farm, tampered } from './farm.js';

interface Cause {
  /** What the design says that the event holds. */
  readonly holds: string;
  readonly options?: (folder: string) => Partial<MasterOptions>;
  /** Does to a master what the event tells of. */
  happen(master: Master, sessions: readonly HubSession[]): Promise<void>;
}

const bindings = ['a'];
const failing = (error: Error) => () => {
  throw error;
};

/** A real cause for every event that there is: whoever adds one does not compile without. */
const causes: Record<keyof MasterEvents, Cause> = {
  session: {
    holds: 'attempt delayMs reason state',
    happen: async (_, [session]) => void session!.drop(new Error('cut')),
  },
  owner: {
    holds: 'epoch queue status takeoverMs',
    happen: async (master) => void (await master.consume('q', { bindings }, () => {})),
  },
  gap: {
    holds: 'missed reason subscription',
    async happen(master, [session]) {
      await master.subscribe('a', () => {});
      session!.drop(new Error('cut'));
    },
  },
  failure: {
    holds: 'attempt error id patterns queue topic',
    async happen(master) {
      await master.subscribe('a', failing(new Error('no')));
      await master.publish('a', 1);
    },
  },
  'dead-letter': {
    holds: 'error id queue reason',
    async happen(master) {
      await master.consume('q', { bindings }, failing(new RejectError('no')));
      await master.publish('a', 1);
    },
  },
  lost: {
    holds: 'queue reason subscription',
    async happen(master) {
      await master.consume('q', { bindings }, () => {});
      await master.deleteQueue('q', { whileInUse: true });
    },
  },
  restart: {
    holds: 'child count reason',
    async happen(master, [session]) {
      const declare = session!.declareQueue.bind(session);
      let refusals = 1;
      session!.declareQueue = (spec) =>
        refusals-- > 0 ? Promise.reject(new ConnectError('Not now.')) : declare(spec);
      await master.consume('q', { bindings }, () => {});
    },
  },
  limit: {
    holds: 'depth policy queue',
    async happen(master) {
      const limit = { messages: 1, onFull: 'drop-oldest' } as const;
      const consumer = await master.consume('q', { bindings, limit }, () => {});
      consumer.pause();
      await consumer.until('paused');
      await master.publish('a', 1);
    },
  },
  spool: {
    holds: 'bytes messages',
    options: (folder) => ({ spool: folder, drainTimeoutMs: 50 }),
    async happen(master, [session]) {
      session!.publish = () => new Promise(() => {});
      await master.publish('a', 1, { timeoutMs: 10 });
    },
  },
  warning: {
    holds: 'code text',
    options: () => ({ drainTimeoutMs: 20 }),
    async happen(master) {
      const never = () => new Promise(() => {});
      await master.consume('q', { bindings, handlerTimeoutMs: 10 }, never);
      await master.publish('a', 1);
    },
  },
};

describe('every event', () => {
  it.each(EVENT_NAMES)('is told when it happens: %s', async (name) => {
    const folder = mkdtempSync(join(tmpdir(), 'sb-events-'));
    try {
      const { holds, options, happen } = causes[name];
      const sessions: HubSession[] = [];
      const broker = tampered((session) => sessions.push(session as HubSession));
      const master = await farm()('a', { broker, ...options?.(folder) });
      const told: object[] = [];
      const off = master.on(name, (event) => told.push(event));
      master.on(name, () => {
        throw new Error('A listener that throws harms nobody.');
      });
      await happen(master, sessions);
      await eventually(`${name} is told`, () => told.length > 0);
      expect(Object.keys(told[0]!).sort().join(' ')).toBe(holds);
      off();
      const before = told.length;
      await master.stop();
      expect(told).toHaveLength(before);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
