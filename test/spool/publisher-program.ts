import { createMaster } from '../../src/index.js';

/*
 * A master that publishes until it is killed, or told to finish, and tells its parent what was promised to it:
 * `publisher-program.js NAME BROKER SPOOL`.
 */

/** What was promised, or that everything has been. */
export type Told =
  | { readonly type: 'promised'; readonly id: string; readonly topic: string; readonly outcome: string }
  | { readonly type: 'failed'; readonly code: string }
  | { readonly type: 'ready' | 'finished' };

const IN_FLIGHT_MAX = 50;

const [, , name, broker, spool] = process.argv;
const tell = (told: Told): void => void process.send!(told);
let isFinishing = false;
process.on('message', () => (isFinishing = true));
// A parent that is gone wants nothing more.
process.on('disconnect', () => process.exit());

const master = await createMaster({
  name: name!,
  broker: broker!,
  spool: spool!,
  publishTimeoutMs: 80,
  ownerTimeoutMs: 300,
  connectTimeoutMs: 20_000,
});
tell({ type: 'ready' });

async function publish(number: number): Promise<string> {
  const topic = `events.${name}.${number}`;
  try {
    const { id, outcome } = await master.publish(topic, { number, padding: 'x'.repeat(200) });
    tell({ type: 'promised', id, topic, outcome });
    return outcome;
  } catch (error) {
    tell({ type: 'failed', code: (error as { code?: string }).code ?? String(error) });
    return 'failed';
  }
}

let inFlight = 0;
for (let number = 1; !isFinishing; number++) {
  if (inFlight < IN_FLIGHT_MAX) {
    inFlight++;
    void publish(number).then(() => inFlight--);
  }
  await new Promise((resolve) =>
    number % 5 === 0 || inFlight >= IN_FLIGHT_MAX ? setTimeout(resolve, 1) : setImmediate(resolve),
  );
}
// Confirmed is only what finds the spool empty.
while ((await publish(0)) !== 'confirmed');
await master.stop();
tell({ type: 'finished' });
process.disconnect();
