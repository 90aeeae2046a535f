import { afterAll, describe, expect, it } from 'vitest';
import type { AnyStateMachine } from 'xstate';
import { consumerMachine } from '../../actors/consumer.js';
import { masterMachine } from '../../actors/master.js';
import { outboxMachine } from '../../actors/outbox.js';
import { sessionMachine } from '../../actors/session.js';
import { subscriberMachine } from '../../actors/subscriber.js';
import { arrowsOf, MachineLab, type Step } from './machine-lab.js';

const stop: Step = { send: { type: 'supervisor.stop' } };
const send = (type: string): Step => ({ send: { type } });
const done = (slot: string, type = 'done'): Step => ({ resolve: slot, with: { type } });

/** How to reach each state, and one row for each arrow: from where, what happens, and where it leads. */
interface Plan {
  readonly machine: AnyStateMachine;
  readonly resources: readonly string[];
  readonly news?: readonly string[];
  readonly input?: unknown;
  readonly routes: Record<string, readonly Step[]>;
  readonly rows: readonly (readonly [
    from: string,
    what: string,
    steps: readonly Step[],
    to: string,
    input?: object,
  ])[];
}

const passing = { reason: 'no route', fatal: false, delayMs: 500 };
const fatal = { reason: 'wrong password', fatal: true, delayMs: 0 };

const session: Plan = {
  machine: sessionMachine,
  resources: ['watch'],
  news: ['tellConnected', 'tellBlocked', 'tellLost', 'tellFailed'],
  routes: {
    connecting: [],
    'established.connected': [{ resolve: 'connect' }],
    'established.blocked': [
      { resolve: 'connect' },
      { tell: 'watch', event: { type: 'session.blocked', reason: 'memory' } },
    ],
    waiting: [{ resolve: 'connect', with: passing }],
    stopping: [{ resolve: 'connect' }, stop],
  },
  rows: [
    ['connecting', 'the attempt succeeds', [{ resolve: 'connect' }], 'established.connected'],
    ['connecting', 'the attempt fails for now', [{ resolve: 'connect', with: passing }], 'waiting'],
    ['connecting', 'the attempt fails for good', [{ resolve: 'connect', with: fatal }], 'failed'],
    ['connecting', 'the attempt breaks', [{ reject: 'connect' }], 'failed'],
    ['connecting', 'the master stops', [stop], 'stopping'],
    [
      'established.connected',
      'the broker blocks',
      [{ tell: 'watch', event: { type: 'session.blocked', reason: 'memory' } }],
      'established.blocked',
    ],
    [
      'established.blocked',
      'the broker takes publishes again',
      [{ tell: 'watch', event: { type: 'session.unblocked' } }],
      'established.connected',
    ],
    [
      'established.connected',
      'the session is lost',
      [{ tell: 'watch', event: { type: 'session.lost', ...passing } }],
      'waiting',
    ],
    [
      'established.blocked',
      'the session is lost for good',
      [{ tell: 'watch', event: { type: 'session.lost', ...fatal } }],
      'failed',
    ],
    ['established.blocked', 'the master stops', [stop], 'stopping'],
    ['waiting', 'the delay passes', [{ passMs: 500 }], 'connecting'],
    ['waiting', 'the master stops', [stop], 'stopping'],
    ['stopping', 'the session is closed', [{ resolve: 'close' }], 'stopped'],
    ['stopping', 'closing fails', [{ reject: 'close' }], 'stopped'],
  ],
};

const outbox: Plan = {
  machine: outboxMachine,
  resources: ['flow', 'spool'],
  routes: {
    holding: [],
    flowing: [send('session.connected')],
    'spooling.holding': [send('spool.filled')],
    'spooling.flowing': [send('spool.filled'), send('session.connected')],
    'draining.flowing': [stop],
    'draining.holding': [stop, send('session.lost')],
  },
  rows: [
    ['holding', 'a session is there', [send('session.connected')], 'flowing'],
    ['holding', 'the master stops', [stop], 'draining.flowing'],
    [
      'holding',
      'the spool holds something',
      [{ tell: 'spool', event: { type: 'spool.filled' } }],
      'spooling.holding',
    ],
    ['flowing', 'the spool holds something', [send('spool.filled')], 'spooling.flowing'],
    ['spooling.holding', 'a session is there', [send('session.connected')], 'spooling.flowing'],
    ['spooling.holding', 'the spool is empty', [send('spool.emptied')], 'holding'],
    ['spooling.holding', 'the master stops', [stop], 'draining.flowing'],
    ['spooling.flowing', 'the broker blocks', [send('session.blocked')], 'spooling.holding'],
    ['spooling.flowing', 'the session is lost', [send('session.lost')], 'spooling.holding'],
    ['spooling.flowing', 'the spool is empty', [send('spool.emptied')], 'flowing'],
    ['flowing', 'the broker blocks', [send('session.blocked')], 'holding'],
    ['flowing', 'the session is lost', [send('session.lost')], 'holding'],
    ['flowing', 'the master stops', [stop], 'draining.flowing'],
    ['draining.flowing', 'the broker blocks', [send('session.blocked')], 'draining.holding'],
    ['draining.flowing', 'the session is lost', [send('session.lost')], 'draining.holding'],
    ['draining.holding', 'a session is there', [send('session.connected')], 'draining.flowing'],
    ['draining.flowing', 'everything is confirmed', [{ resolve: 'drain' }], 'stopped'],
    ['draining.holding', 'draining fails', [{ reject: 'drain' }], 'stopped'],
  ],
};

const subscriber: Plan = {
  machine: subscriberMachine,
  resources: [],
  input: { number: 1 },
  routes: {
    declaring: [],
    waiting: [send('session.lost')],
    consuming: [send('bindings.added')],
    crashing: [send('bindings.failed')],
    draining: [stop],
  },
  rows: [
    ['declaring', 'the bindings are there', [send('bindings.added')], 'consuming'],
    ['declaring', 'the session is lost', [send('session.lost')], 'waiting'],
    ['declaring', 'the broker refuses for good', [send('bindings.refused')], 'failed'],
    ['declaring', 'the broker refuses for now', [send('bindings.failed')], 'crashing'],
    ['declaring', 'it is stopped', [stop], 'draining'],
    ['crashing', 'it crashes', [{ reject: 'crash' }], 'crashed'],
    ['crashing', 'it is stopped', [stop], 'draining'],
    ['waiting', 'a session is there', [send('session.connected')], 'declaring'],
    ['waiting', 'it is stopped', [stop], 'draining'],
    ['consuming', 'the session is lost', [send('session.lost')], 'waiting'],
    ['consuming', 'it is stopped', [stop], 'draining'],
    ['draining', 'it is drained', [send('drain.ended')], 'stopped'],
  ],
};

const claim = (type: string): Step => ({ tell: 'claim', event: { type } });
const pump = (type: string): Step => ({ tell: 'pump', event: { type } });
const declared = [done('declare')];
const owned = [...declared, claim('claim.granted')];
const recreate = { ifDeleted: 'recreate' };
const shared = { ownership: 'shared' };

const consumer: Plan = {
  machine: consumerMachine,
  resources: ['claim', 'pump', 'control'],
  input: { number: 1, ownership: 'exclusive', ifDeleted: 'lost', paused: false },
  routes: {
    declaring: [],
    waiting: [done('declare', 'session.lost')],
    'claimed.asking': declared,
    'claimed.standby': [...declared, claim('claim.standby')],
    'claimed.active': owned,
    'claimed.paused': [...owned, send('pause.requested')],
    'claimed.fenced': [...owned, claim('claim.fenced')],
    interrupted: [...owned, claim('session.lost')],
    yielding: [...owned, pump('pump.stuck')],
    gone: [...owned, claim('queue.lost')],
    draining: [stop],
  },
  rows: [
    ['declaring', 'the queue is declared', declared, 'claimed.asking'],
    ['declaring', 'the queue it had is gone', [done('declare', 'queue.lost')], 'gone'],
    ['declaring', 'the broker refuses for good', [done('declare', 'failed')], 'failed'],
    ['declaring', 'the broker refuses for now', [{ reject: 'declare' }], 'crashed'],
    ['declaring', 'the session is lost', [done('declare', 'session.lost')], 'waiting'],
    ['declaring', 'it is stopped', [stop], 'draining'],
    ['waiting', 'a session is there', [{ resolve: 'session' }], 'declaring'],
    ['waiting', 'the wait breaks', [{ reject: 'session' }], 'failed'],
    ['waiting', 'it is stopped', [stop], 'draining'],
    ['claimed.asking', 'it is granted', [claim('claim.granted')], 'claimed.active'],
    ['claimed.asking', 'another owns the queue', [claim('claim.standby')], 'claimed.standby'],
    ['claimed.asking', 'another owns the shared queue', [claim('claim.standby')], 'claimed.active', shared],
    [
      'claimed.asking',
      'it was paused before it is granted',
      [send('pause.requested'), claim('claim.granted')],
      'claimed.paused',
    ],
    [
      'claimed.asking',
      'it was paused and resumed before it is granted',
      [send('pause.requested'), send('resume.requested'), claim('claim.granted')],
      'claimed.active',
    ],
    ['claimed.asking', 'the claim fails', [claim('claim.failed')], 'failed'],
    ['claimed.asking', 'the claim fails for now', [claim('claim.crashed')], 'interrupted'],
    ['claimed.standby', 'it is granted', [claim('claim.granted')], 'claimed.active'],
    ['claimed.standby', 'it is paused', [send('pause.requested')], 'claimed.paused'],
    ['claimed.active', 'it is fenced', [claim('claim.fenced')], 'claimed.fenced'],
    ['claimed.active', 'another keeps the shared queue', [claim('claim.fenced')], 'claimed.active', shared],
    ['claimed.active', 'a handler does not end', [pump('pump.stuck')], 'yielding'],
    ['claimed.active', 'the pump fails', [pump('pump.failed')], 'interrupted'],
    ['claimed.active', 'it is paused', [send('pause.requested')], 'claimed.paused'],
    ['claimed.active', 'the session is lost', [claim('session.lost')], 'interrupted'],
    ['claimed.active', 'the queue is deleted', [claim('queue.lost')], 'gone'],
    ['claimed.active', 'it is stopped', [stop], 'draining'],
    ['claimed.paused', 'it is resumed', [send('resume.requested')], 'claimed.active'],
    [
      'claimed.paused',
      'it was fenced while paused, and is resumed',
      [claim('claim.fenced'), send('resume.requested')],
      'claimed.standby',
    ],
    [
      'claimed.paused',
      'it was fenced and granted again while paused',
      [claim('claim.fenced'), claim('claim.granted'), send('resume.requested')],
      'claimed.active',
    ],
    ['claimed.fenced', 'its calls have ended', [{ resolve: 'windDown' }], 'claimed.standby'],
    ['claimed.fenced', 'waiting for its calls fails', [{ reject: 'windDown' }], 'claimed.standby'],
    [
      'claimed.fenced',
      'it owns again before its calls have ended',
      [claim('claim.granted'), { resolve: 'windDown' }],
      'claimed.active',
    ],
    ['interrupted', 'its calls have ended', [{ resolve: 'retreat' }], 'waiting'],
    ['interrupted', 'its pump had failed', [{ reject: 'retreat' }], 'crashed'],
    ['interrupted', 'it is stopped', [stop], 'draining'],
    ['yielding', 'the queue is given up', [{ resolve: 'drain' }], 'waiting'],
    ['yielding', 'giving up fails', [{ reject: 'drain' }], 'waiting'],
    ['yielding', 'it is stopped', [stop], 'draining'],
    ['gone', 'it is forgotten', [{ resolve: 'forget' }], 'lost'],
    ['gone', 'it is to be created again', [{ resolve: 'forget' }], 'declaring', recreate],
    ['gone', 'forgetting fails', [{ reject: 'forget' }], 'lost'],
    ['gone', 'it is stopped', [stop], 'draining'],
    ['draining', 'it is drained', [{ resolve: 'drain' }], 'stopped'],
    ['draining', 'draining fails', [{ reject: 'drain' }], 'stopped'],
  ],
};

const ready = [send('session.connected')];
const stopping = [send('stop.requested')];

const master: Plan = {
  machine: masterMachine,
  resources: [],
  input: { connectTimeoutMs: 1_000, stepTimeoutMs: 2_000 },
  routes: {
    starting: [],
    ready,
    waiting: [...ready, send('session.lost')],
    'stopping.children': stopping,
    'stopping.outbox': [...stopping, { resolve: 'supervisor' }],
    'stopping.session': [...stopping, { resolve: 'supervisor' }, { resolve: 'outbox' }],
  },
  rows: [
    ['starting', 'the session is there', ready, 'ready'],
    ['starting', 'the broker is not reached in time', [{ passMs: 1_000 }], 'stopping.children'],
    ['starting', 'a first session is lost before it counts', [send('session.lost')], 'starting'],
    ['starting', 'the broker refuses for good', [send('session.failed')], 'stopping.children'],
    ['ready', 'the session is lost', [send('session.lost')], 'waiting'],
    ['ready', 'the broker blocks', [send('session.blocked')], 'ready'],
    ['ready', 'the broker takes publishes again', [send('session.connected')], 'ready'],
    ['ready', 'it is stopped', stopping, 'stopping.children'],
    ['ready', 'the session actor ends', [{ resolve: 'session' }], 'ready'],
    ['ready', 'the outbox actor ends', [{ resolve: 'outbox' }], 'ready'],
    ['ready', 'the session actor crashes', [{ reject: 'session' }], 'stopping.children'],
    ['ready', 'the outbox actor crashes', [{ reject: 'outbox' }], 'stopping.children'],
    ['ready', 'the supervisor gives up', [{ reject: 'supervisor' }], 'stopping.outbox'],
    ['waiting', 'a session is there', [send('session.connected')], 'ready'],
    ['stopping.children', 'the children have ended', [{ resolve: 'supervisor' }], 'stopping.outbox'],
    ['stopping.children', 'the children do not end', [{ passMs: 2_000 }], 'stopping.outbox'],
    ['stopping.children', 'it is stopped again', stopping, 'stopping.children'],
    ['stopping.children', 'the session fails for good', [send('session.failed')], 'stopping.children'],
    ['stopping.children', 'the supervisor gives up', [{ reject: 'supervisor' }], 'stopping.outbox'],
    ['stopping.outbox', 'everything is confirmed', [{ resolve: 'outbox' }], 'stopping.session'],
    ['stopping.outbox', 'the outbox actor crashes', [{ reject: 'outbox' }], 'stopping.session'],
    ['stopping.outbox', 'the outbox does not end', [{ passMs: 2_000 }], 'stopping.session'],
    ['stopping.session', 'the session is closed', [{ resolve: 'session' }], 'stopped'],
    ['stopping.session', 'the session actor crashes', [{ reject: 'session' }], 'failed'],
    ['stopping.session', 'the session does not end', [{ passMs: 2_000 }], 'stopped'],
    [
      'ready',
      'it failed and has stopped',
      [send('session.failed'), { resolve: 'supervisor' }, { resolve: 'outbox' }, { resolve: 'session' }],
      'failed',
    ],
  ],
};

for (const [name, plan] of Object.entries({ session, outbox, subscriber, consumer, master })) {
  describe(`the ${name} machine`, () => {
    const taken = new Set<string>();
    const open = (input: object = {}) =>
      new MachineLab(plan.machine, {
        resources: plan.resources,
        news: plan.news ?? [],
        taken,
        input: plan.input === undefined ? undefined : { ...(plan.input as object), ...input },
      });

    for (const [from, what, steps, to, input] of plan.rows) {
      it(`goes from ${from} to ${to} when ${what}`, async () => {
        const lab = open(input);
        for (const step of plan.routes[from]!) await lab.step(step);
        expect(lab.state).toBe(from);
        for (const step of steps) await lab.step(step);
        expect(lab.state).toBe(to);
        lab.actor.stop();
      });
    }

    it('is stopped in any state without leaving a slot held', async () => {
      for (const [state, route] of Object.entries(plan.routes)) {
        const lab = open();
        for (const step of route) await lab.step(step);
        lab.actor.stop();
        expect(lab.held, `in ${state}`).toEqual([]);
      }
    });

    afterAll(() => {
      const untaken = arrowsOf(plan.machine).filter((arrow) => !taken.has(arrow));
      expect(untaken, 'arrows that no row takes').toEqual([]);
    });
  });
}
