import { ChangeList } from './change-list.js';
import { RECORD_HEAD_BYTES } from './log-record.js';

/** A longer buffer is not kept for the next batch. */
const KEPT_BYTES = 2 ** 22;

/** What is written to the log together. */
export class Batch {
  /** Called in this order once the batch is safe. */
  readonly callbacks: (() => void)[] = [];
  readonly changes: ChangeList;
  /** How many changes it has. */
  size = 0;

  /** The buffer of a batch that is safe serves again. */
  constructor(
    readonly number: number,
    safe?: Batch,
  ) {
    const spare = safe && safe.changes.buffer.length <= KEPT_BYTES ? safe.changes.buffer : undefined;
    this.changes = new ChangeList(RECORD_HEAD_BYTES, spare);
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }
}
