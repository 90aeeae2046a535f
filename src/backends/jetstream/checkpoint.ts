import { CheckpointTooLargeError, FencedError } from '../../model/errors.js';
import type { Records } from './records.js';

const VERSION = 1;
const LENGTH_BYTES = 4;
/** What the server adds to a message of ours, at the most. */
const HEADERS_BYTES = 1_000;

interface CheckpointHead {
  readonly version: number;
  readonly queueId: string;
  readonly epoch: number;
  readonly hasCheckpoint: boolean;
}

export interface CheckpointPorts {
  readonly records: Records;
  readonly subject: string;
  readonly queueId: string;
  readonly epoch: number;
  readonly maxBytes: number;
}

/**
 * The checkpoint of a queue, apart from its lease: a renewal of the one does not write the other. Its new owner writes it as he
 * found it, so that the next save of the former one is refused.
 */
export class CheckpointRecord {
  readonly #ports: CheckpointPorts;
  readonly found: Uint8Array | undefined;
  #revision: number;
  #next: { readonly done: Promise<void>; checkpoint: Uint8Array } | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(found: Uint8Array | undefined, revision: number, ports: CheckpointPorts) {
    this.found = found;
    this.#revision = revision;
    this.#ports = ports;
  }

  /** Resolves when no former owner can save any more. */
  static async take(ports: CheckpointPorts): Promise<CheckpointRecord> {
    const { records, subject, queueId, epoch } = ports;
    for (;;) {
      const record = await records.get(subject);
      // What is left of an earlier queue of this name is not this one's.
      const found = record && decode(record.body, queueId, epoch);
      try {
        const revision = await records.put(subject, encode(ports, found), record?.revision ?? 0);
        return new CheckpointRecord(found, revision, ports);
      } catch (error) {
        // The former owner has saved between the two.
        if (!(error instanceof FencedError)) throw error;
      }
    }
  }

  /** Resolves when it, or a later one, is what a successor finds. */
  save(checkpoint: Uint8Array): Promise<void> {
    const { maxBytes } = this.#ports;
    const size = checkpoint.byteLength + HEADERS_BYTES;
    if (size > maxBytes)
      return Promise.reject(
        new CheckpointTooLargeError(
          `A checkpoint of ${checkpoint.byteLength} bytes is larger than the server takes (${maxBytes} with its headers).`,
        ),
      );
    const kept = Uint8Array.from(checkpoint);
    if (this.#next) {
      this.#next.checkpoint = kept;
      return this.#next.done;
    }
    this.#next = { done: this.#writing.then(() => this.#write()), checkpoint: kept };
    return this.#next.done;
  }

  #write(): Promise<void> {
    const { checkpoint } = this.#next!;
    this.#next = undefined;
    const { records, subject } = this.#ports;
    const work = records.put(subject, encode(this.#ports, checkpoint), this.#revision).then((revision) => {
      this.#revision = revision;
    });
    this.#writing = work.catch(() => {});
    return work;
  }
}

function encode(
  { queueId, epoch }: Pick<CheckpointPorts, 'queueId' | 'epoch'>,
  checkpoint: Uint8Array | undefined,
): Uint8Array {
  const head: CheckpointHead = { version: VERSION, queueId, epoch, hasCheckpoint: checkpoint !== undefined };
  const text = Buffer.from(JSON.stringify(head));
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + text.byteLength + (checkpoint?.byteLength ?? 0));
  bytes.writeUInt32BE(text.byteLength);
  bytes.set(text, LENGTH_BYTES);
  if (checkpoint) bytes.set(checkpoint, LENGTH_BYTES + text.byteLength);
  return bytes;
}

/** Throws a FencedError if a later owner has written it. */
function decode(body: Uint8Array, queueId: string, epoch: number): Uint8Array | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + bytes.readUInt32BE();
  if (end > bytes.length) return undefined;
  const head = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)) as Partial<CheckpointHead>;
  if (head.version !== VERSION)
    throw new FencedError('The checkpoint was written by a newer signalbox: upgrade this master.');
  if (head.queueId === queueId && (head.epoch ?? 0) > epoch)
    throw new FencedError('A later owner has the checkpoint.');
  if (head.queueId !== queueId || head.hasCheckpoint !== true) return undefined;
  return Uint8Array.from(bytes.subarray(end));
}
