import { describe, expect, it } from 'vitest';
import type { Backend, Session } from '../../src/backend.js';
import { HubSession } from '../../src/backends/hub/hub-session.js';
import { memoryBackend } from '../../src/backends/memory/index.js';
import { createMaster } from '../../src/index.js';
import { SessionLostError } from '../../src/model/errors.js';
import { eventually } from '../eventually.js';

/** A broker whose first session is lost while a consumer opens: calls are rejected a little before `closed` settles. */
function losingBackend(): Backend {
  const memory = memoryBackend();
  let losses = 0;
  return {
    name: 'losing',
    async connect(options) {
      const session = await memory.connect(options);
      if (!(session instanceof HubSession) || losses++ > 0) return session;
      const reason = new SessionLostError('The hub has gone.');
      const consume: Session['consume'] = async () => {
        setImmediate(() => session.drop(reason));
        throw reason;
      };
      session.consume = consume;
      return session;
    },
  };
}

describe('a session that is lost while a consumer opens', () => {
  it('is a loss of the session, not a crash of the consumer', async () => {
    const master = await createMaster({ name: 'one', broker: losingBackend() });
    const restarts: string[] = [];
    master.on('restart', ({ child }) => restarts.push(child));
    const got: string[] = [];
    const consumer = await master.consume('work', { bindings: ['a'] }, ({ topic }) => got.push(topic));
    await consumer.until('waiting').catch(() => {});
    await consumer.until('active');
    await master.publish('a', {});
    await eventually('it consumes', () => got.length === 1);
    expect(restarts).toEqual([]);
    await master.stop();
  });
});
