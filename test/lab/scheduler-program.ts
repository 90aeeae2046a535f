import { createMaster } from '../../src/index.js';
import { SCHEDULERS } from './folding.js';

/*
 * A master in a process of its own that runs, or stands by for, two schedulers, and is meant to be killed.
 */

const [, , broker, namespace, name, ownerTimeoutMs] = process.argv;
const master = await createMaster({
  ...{ name: name!, broker: broker!, namespace: namespace! },
  ownerTimeoutMs: Number(ownerTimeoutMs),
});
for (const [queue, options] of Object.entries(SCHEDULERS)) await master.schedule(queue, options);
process.on('disconnect', () => process.exit(3));
process.send!('ready');
