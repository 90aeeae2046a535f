import type { Master } from 'signalbox';
import type { InspectionEvent } from 'xstate';
import type { Farm } from './records.js';
import { TREE } from './schedulers.js';

/** Tells of the changes that the first scheduler takes in on one master: what any inspector sees of it. */
export class Transitions {
  readonly #name: string;
  readonly #farm: Farm;
  #epoch: number | undefined;
  /** It has taken in one, and its master has not said yet that it owns the scheduler. */
  #isEarly = false;

  constructor(name: string, farm: Farm) {
    this.#name = name;
    this.#farm = farm;
  }

  /** The inspector of that master. */
  readonly inspect = (inspected: InspectionEvent): void => {
    if (inspected.type !== '@xstate.snapshot' || !/^changes\./.test(inspected.event.type)) return;
    if ((inspected.actorRef as { readonly id?: string }).id !== 'statechart') return;
    if (this.#epoch === undefined) this.#isEarly = true;
    else this.#tell(this.#epoch);
  };

  watch(master: Master): void {
    master.on('owner', ({ queue, epoch, status }) => {
      if (queue !== TREE) return;
      this.#epoch = status === 'active' ? epoch : undefined;
      if (this.#epoch !== undefined && this.#isEarly) this.#tell(epoch);
      this.#isEarly = false;
    });
  }

  #tell(epoch: number): void {
    this.#farm.report({ type: 'applied', master: this.#name, queue: TREE, epoch });
  }
}
