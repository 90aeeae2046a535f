import { createWebSocketInspector, createWebSocketReceiver } from '@statelyai/inspect';
import { createMaster } from '../../src/index.js';
import { startRelay } from './relay.js';

/*
 * Every actor of a master, seen through XState's official inspector over a WebSocket. Any receiver of that protocol can
 * take the place of the one below, which writes a line for each actor and each transition.
 */
const relay = await startRelay();
const receiver = createWebSocketReceiver({ server: relay.url });
const names = new Map<string, string>();
receiver.subscribe((event) => {
  if (event.type === '@xstate.actor') {
    const parent = names.get(event.parentId ?? '') ?? '-';
    names.set(event.sessionId, event.name);
    console.log(
      `actor       ${event.name}  (child of ${parent}, ${event.definition?.length ?? 0} bytes of definition)`,
    );
  } else if (event.type === '@xstate.snapshot' && 'value' in event.snapshot) {
    const name = names.get(event.sessionId) ?? event.sessionId;
    console.log(`transition  ${name}  ${event.event.type} -> ${JSON.stringify(event.snapshot.value)}`);
  }
});

const inspector = createWebSocketInspector({ url: relay.url, maxDeferredEvents: 10_000 });
const master = await createMaster({ name: 'build-1', broker: 'memory:', inspect: inspector });
await master.subscribe('logs.17.#', () => {});
const nightly = await master.consume('scheduler.nightly', { bindings: ['changes.*.new'] }, () => {});
await nightly.stop();
await master.stop();

// The inspector sends from a timer; then everything has been seen.
await new Promise((resolve) => setTimeout(resolve, 500));
inspector.stop();
await relay.stop();
