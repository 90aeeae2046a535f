/*
 * What examples of the docs that are no programs of their own stand on when a test runs them: what they take as given, what
 * is done with them afterwards, and what would reach outside of the test.
 */

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

interface Stage {
  readonly before?: string;
  readonly after?: string;
  /** Literal text of the example, and what stands in its place. */
  readonly instead?: readonly [string, string];
  /** What `node` is given, if the program alone is not enough. */
  readonly runner?: (program: string) => readonly string[];
}

const STOP = `await master.stop();`;

/** By the name of the example; the code is plain JavaScript. */
export const STAGES: Readonly<Record<string, Stage>> = {
  'typed-publish': { before: `const id = '4712';`, after: STOP },
  'typed-receive': {
    after: `
      await master.publish('changes.1.new', { author: 'ada' });
      ${STOP}`,
  },
  'typed-elsewhere': { after: STOP },
  'backend-wire': {
    before: `
      import assert from 'node:assert/strict';
      import { systemEnvironment } from 'signalbox/contract';
      const environment = systemEnvironment;
      const sent = [];
      const channel = { send: async (...message) => void sent.push(message) };`,
    after: `
      const got = [];
      const sink = { message: (envelope) => void got.push(envelope), missed() {} };
      const attributes = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 's', 'ce-type': 'a.b' };
      received(sink, 'a.b', { ...attributes, mine: 'kept' }, Buffer.from('{"n":1}'));
      await publish(got[0]);
      const [topic, headers, body] = sent[0];
      received(sink, topic, headers, Buffer.from(body));
      for (const { topic, headers, payload } of got)
        assert.deepEqual({ topic, headers: { ...headers }, data: payload.value() }, { topic: 'a.b', headers: { mine: 'kept' }, data: { n: 1 } });`,
  },
  'backend-bench': {
    before: `
      import { memoryBackend } from 'signalbox/backends/memory';
      const backend = memoryBackend();
      async function connect(options) {
        const session = await backend.connect(options);
        return Object.assign(session, { destroySocket: () => session.drop(new Error('The process has died.')) });
      }
      const listQueues = async () => [];`,
  },
  'backend-node-test': { runner: (program) => ['--test', program] },
  'backend-vitest': { runner: underVitest },
  'schedulers-migrate': {
    // What the first version has saved, in the same process: then nothing of it is left on the disk.
    instead: [`'file:./state'`, `'memory:'`],
    before: `
      import { createMaster as createFirst } from 'signalbox';
      import { periodic as first } from 'signalbox/actors';
      {
        const master = await createFirst({ name: 'build-1', broker: 'memory:' });
        const logic = first({ everyMs: 3_600_000, publish: { topic: 'hours.new' } });
        await master.schedule('hourly', { bindings: ['hourly.again'], logic, version: 1 });
        await master.stop();
      }`,
    after: STOP,
  },
  inspector: {
    instead: [`'ws://127.0.0.1:8080'`, 'url'],
    before: `
      import { once } from 'node:events';
      import { WebSocketServer } from 'ws';
      const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
      await once(server, 'listening');
      const url = 'ws://127.0.0.1:' + server.address().port;
      const seen = once(server, 'connection').then(([socket]) => once(socket, 'message'));`,
    after: `
      await seen;
      ${STOP}
      inspector.stop();
      server.close();
      for (const socket of server.clients) socket.terminate();`,
  },
};

function underVitest(program: string): readonly string[] {
  const folder = dirname(program);
  const config = join(folder, 'vitest.config.js');
  writeFileSync(config, `export default { test: { include: [${JSON.stringify(program)}] } };`);
  const vitest = join(import.meta.dirname, '..', 'node_modules', 'vitest', 'vitest.mjs');
  return [vitest, 'run', '--root', folder, '--config', config];
}
