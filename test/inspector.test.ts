import {
  createWebSocketInspector,
  createWebSocketReceiver,
  type StatelyInspectionEvent,
} from '@statelyai/inspect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRelay } from '../examples/inspector/relay.js';
import { createMaster } from '../src/index.js';
import { eventually } from './eventually.js';

type ActorEvent = StatelyInspectionEvent & { type: '@xstate.actor' };

describe('the XState inspector', () => {
  let relay: Awaited<ReturnType<typeof startRelay>>;
  beforeAll(async () => {
    relay = await startRelay();
  });
  afterAll(() => relay.stop());

  it('sees every actor, its definition and its transitions, through the official package', async () => {
    const seen: StatelyInspectionEvent[] = [];
    createWebSocketReceiver({ server: relay.url }).subscribe((event) => seen.push(event));
    const inspector = createWebSocketInspector({ url: relay.url, maxDeferredEvents: 10_000 });
    const master = await createMaster({ name: 'seen', broker: 'memory:', inspect: inspector });
    const subscription = await master.subscribe('a.#', () => {});
    const consumer = await master.consume('q', { bindings: ['b'] }, () => {});
    await consumer.stop();
    await subscription.stop();
    await master.stop();

    const actors = () => seen.filter((event): event is ActorEvent => event.type === '@xstate.actor');
    const actor = (pattern: RegExp) => actors().find(({ name }) => pattern.test(name));
    const states = (pattern: RegExp) =>
      seen
        .filter((event) => event.type === '@xstate.snapshot' && event.sessionId === actor(pattern)?.sessionId)
        .map((event) => JSON.stringify((event as { snapshot: { value?: unknown } }).snapshot.value));
    await eventually('the end of the master is seen', () => states(/^seen$/).includes('"stopped"'));

    const paths = [/^seen$/, /^session$/, /^outbox$/, /^supervisor$/, /^subscriber-1$/, /^q#1$/];
    for (const path of paths) expect(actor(path), String(path)).toBeDefined();
    const parents = new Map(actors().map(({ sessionId, parentId }) => [sessionId, parentId]));
    const rootId = actor(/^seen$/)!.sessionId;
    for (const path of paths.slice(1)) {
      let at: string | undefined = actor(path)!.sessionId;
      while (at !== undefined && at !== rootId) at = parents.get(at);
      expect(at, `${path} descends from the master`).toBe(rootId);
    }
    for (const [path, states] of [
      [/^session$/, ['connecting', 'established', 'waiting']],
      [/^subscriber-1$/, ['declaring', 'consuming', 'draining']],
      [/^q#1$/, ['declaring', 'claimed', 'interrupted']],
    ] as const) {
      const definition = JSON.parse(actor(path)!.definition!) as { states: Record<string, unknown> };
      expect(Object.keys(definition.states)).toEqual(expect.arrayContaining([...states]));
    }
    expect(states(/^subscriber-1$/)).toEqual(expect.arrayContaining(['"consuming"', '"stopped"']));
    expect(states(/^q#1$/)).toEqual(
      expect.arrayContaining(['{"claimed":"active"}', '"draining"', '"stopped"']),
    );
    inspector.stop();
  });

  it('harms nobody when it throws, in whatever form it is given', async () => {
    const broken = () => {
      throw new Error('a broken inspector');
    };
    for (const inspect of [broken, { next: broken }, { inspect: { next: broken } }]) {
      const master = await createMaster({ name: 'a', broker: 'memory:', inspect });
      const got: unknown[] = [];
      await master.subscribe('a', ({ data }) => void got.push(data));
      await master.publish('a', 1);
      await eventually('the message arrives', () => got.length === 1);
      await master.stop();
      expect(master.status).toBe('stopped');
    }
  });
});
