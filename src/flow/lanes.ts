import { Fifo } from '../model/fifo.js';
import { TurnoverMap } from '../model/turnover-map.js';

/** Something to do in turn. */
export interface LaneItem {
  /** Items of one lane are done one after the other; undefined: of no lane. */
  readonly lane: string | undefined;
  /** It begins only when nothing else runs. */
  readonly runsAlone: boolean;
}

/**
 * Which of the things at hand may begin: in the order in which they came, one at a time of each lane. What failed and
 * waits for its next attempt keeps its lane; without a lane it holds back everything (`block`) or nothing (`pass`).
 */
export class Lanes<T extends LaneItem> {
  readonly #onFailure: 'block' | 'pass';
  readonly #lanes = new TurnoverMap<string, Fifo<T>>();
  readonly #ready = new Fifo<T>();
  readonly #again = new Fifo<T>();
  #blockers = 0;

  constructor(onFailure: 'block' | 'pass') {
    this.#onFailure = onFailure;
  }

  add(item: T): void {
    if (item.lane === undefined) this.#ready.push(item);
    else {
      const lane = this.#lanes.get(item.lane);
      if (lane) lane.push(item);
      else {
        this.#lanes.set(item.lane, new Fifo());
        this.#ready.push(item);
      }
    }
  }

  /**
   * The next that may begin while so many run; it keeps its lane until it is `done`. One that runs alone is waited for: what is
   * behind it does not pass it, or its time might never come.
   */
  next(running: number): T | undefined {
    const line = this.#again.size > 0 ? this.#again : this.#ready;
    if (line === this.#ready && this.#blockers > 0) return undefined;
    if (running > 0 && line.peek()?.runsAlone) return undefined;
    return line.shift();
  }

  /** Whatever is at hand waits in a lane behind another. */
  get areHeldUp(): boolean {
    return this.#lanes.size > 0 && this.#ready.size === 0 && this.#again.size === 0;
  }

  /** It is settled: the next of its lane may begin. */
  done(item: T): void {
    if (item.lane === undefined) return;
    const next = this.#lanes.get(item.lane)?.shift();
    if (next) this.#ready.push(next);
    else this.#lanes.delete(item.lane);
  }

  /** It failed and waits for its next attempt. */
  wait(item: T): void {
    if (this.#holdsBack(item)) this.#blockers++;
  }

  /** Its next attempt is due. */
  retry(item: T): void {
    if (this.#holdsBack(item)) this.#blockers--;
    this.#again.push(item);
  }

  clear(): void {
    this.#lanes.clear();
    this.#ready.clear();
    this.#again.clear();
    this.#blockers = 0;
  }

  #holdsBack(item: T): boolean {
    return item.lane === undefined && this.#onFailure === 'block';
  }
}
