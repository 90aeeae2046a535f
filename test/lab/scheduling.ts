import type { AnyStateMachine } from 'xstate';
import type { ConsumerHandle, Master } from '../../src/index.js';
import { ALARMS } from './alarms.js';
import type { LabData } from './publisher.js';
import type { EvidenceWriter } from './evidence.js';
import { SCHEDULERS, type Folded } from './folding.js';
import { heavyweight } from './heavyweight.js';

export type LabScheduler = keyof typeof SCHEDULERS | keyof typeof ALARMS;

const MACHINES: Readonly<
  Record<LabScheduler, { readonly bindings: string[]; readonly logic: AnyStateMachine }>
> = { ...SCHEDULERS, ...ALARMS };

/** What a master of the laboratory is told about schedulers. */
export function scheduling(
  master: () => Master,
  handles: Map<string, ConsumerHandle>,
  evidence: () => EvidenceWriter,
) {
  return {
    async schedule({ queue }: { readonly queue: LabScheduler }) {
      const handle = await master().schedule(queue, MACHINES[queue]);
      handles.set(queue, handle);
      return handle.status;
    },

    /** A scheduler with so large a state; testifies to each message that it takes in. */
    async scheduleHeavy(plan: {
      readonly queue: string;
      readonly bindings: readonly string[];
      readonly bytes: number;
    }): Promise<void> {
      const { queue, bindings, bytes: input } = plan;
      const logic = heavyweight(({ id, topic, data }) =>
        evidence().write({
          ...{ type: 'begun', queue, id, topic, master: master().name },
          ...{ attempt: 1, redelivered: false, sequence: (data as LabData).sequence },
        }),
      );
      handles.set(queue, await master().schedule(queue, { bindings: [...bindings], logic, input }));
    },

    /** Resolves when it is confirmed. */
    async say({ topic, data }: { readonly topic: string; readonly data: unknown }): Promise<void> {
      await master().publish(topic, data);
    },

    /** What a scheduler has folded so far, whichever master runs it. */
    async folded({ queue }: { readonly queue: keyof typeof SCHEDULERS }): Promise<Folded> {
      const told = await master().waitFor(`told.${queue}`, {
        check: async () => void (await master().publish('ask', {})),
      });
      return (told as { readonly data: Folded }).data;
    },
  };
}
