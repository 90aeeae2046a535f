import { createActor, type Actor, type AnyActorLogic, type InputFrom, type InspectionEvent } from 'xstate';
import type { Clock } from '../src/model/clock.js';

type Inspect = (event: InspectionEvent) => void;

/** Makes a root actor that is not started. An inspector that throws harms nobody; without one nothing is paid. */
export function createRoot<Logic extends AnyActorLogic>(
  logic: Logic,
  options: { id: string; input: InputFrom<Logic>; clock: Clock; inspect: unknown },
): Actor<Logic> {
  const inspect = inspectionOf(options.inspect);
  const actor = createActor(logic as AnyActorLogic, {
    id: options.id,
    input: options.input as unknown,
    // XState's clock is a subset of ours, with a timer of its own making.
    clock: options.clock,
    ...(inspect && { inspect: harmless(inspect) }),
  });
  // An error that nobody observes would end the process.
  actor.subscribe({ error: () => {} });
  return actor as Actor<Logic>;
}

/** An inspector is a function, an observer, or an object that has one of them as `inspect`. */
function inspectionOf(inspector: unknown): Inspect | undefined {
  if (typeof inspector === 'function') return inspector as Inspect;
  if (typeof inspector !== 'object' || inspector === null) return undefined;
  if ('inspect' in inspector) return inspectionOf(inspector.inspect);
  if ('next' in inspector && typeof inspector.next === 'function') {
    const observer = inspector as { next: Inspect };
    return (event) => observer.next(event);
  }
  return undefined;
}

function harmless(inspect: Inspect): Inspect {
  return (event) => {
    try {
      inspect(event);
    } catch {
      // It watches; it has no say in what happens.
    }
  };
}
