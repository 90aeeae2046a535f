import { createMaster } from '../../src/index.js';
import { findBackend } from '../../src/master/broker.js';
import { EvidenceWriter } from './evidence.js';
import { FaultPoints, type DeadlyStep } from './fault-points.js';
import { SCHEDULERS } from './folding.js';

/*
 * A master in a process of its own that runs, or stands by for, two schedulers and a plain consumer of what the first one
 * publishes. It is meant to be killed, by others or, at a step that it is told, by its own hand.
 */

export interface SchedulerOrders {
  readonly broker: string;
  readonly namespace: string;
  readonly name: string;
  readonly ownerTimeoutMs: number;
  /** The file in which it writes what the plain consumer gets, and which emissions are sent again. */
  readonly testimony: string;
  readonly deadly: DeadlyStep | undefined;
}

async function run({ broker, namespace, name, ownerTimeoutMs, testimony, deadly }: SchedulerOrders) {
  const evidence = new EvidenceWriter(testimony);
  const points = new FaultPoints(({ id, resent }) => {
    if (resent) evidence.write({ type: 'said', master: name, event: 'sent again', detail: { id } });
  });
  if (deadly) points.dieAt(deadly);
  const backend = points.at(findBackend(broker, { ifHubFrozen: 'report', tls: undefined }));
  const master = await createMaster({ name, broker: backend, namespace, ownerTimeoutMs });
  for (const [queue, options] of Object.entries(SCHEDULERS)) await master.schedule(queue, options);
  await master.consume('plain', { bindings: ['steps'] }, ({ id }, { attempt, redelivered, epoch }) =>
    evidence.write({
      ...{ type: 'handled', queue: 'plain', master: name, resent: false },
      ...{ id, epoch, attempt, redelivered },
    }),
  );
  process.send!('ready');
}

process.on('disconnect', () => process.exit(3));
process.once('message', (orders: SchedulerOrders) => void run(orders));
