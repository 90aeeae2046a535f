import { crc32 } from 'node:zlib';
import { Damage } from '../../folder/folder-errors.js';

/*
 * The log of a hub is a file of records, each behind the other from a multiple of 8 on:
 *
 *   4 bytes   "SBlg"
 *   4         the checksum (CRC-32) of everything behind it, begun with the salt of the file, which nobody who publishes
 *             knows: no message can look like a record
 *   4         the generation: when the table has everything, the log begins at its start again with the next one
 *   4         the length of the changes
 *   8         the number of the batch
 *   …         the changes (see change-list.ts)
 */
const MAGIC = 0x53426c67;
export const RECORD_HEAD_BYTES = 24;
const ALIGNED_TO = 8;

/** What a record with so many bytes takes in the log. */
export function recordSize(bytes: number): number {
  return Math.ceil(bytes / ALIGNED_TO) * ALIGNED_TO;
}

/** Makes a record of what stands behind the bytes of its head. */
export function sealRecord(
  buffer: Buffer,
  bytes: number,
  { generation, salt }: Chapter,
  batch: number,
): void {
  buffer.writeUInt32BE(MAGIC, 0);
  buffer.writeUInt32BE(generation, 8);
  buffer.writeUInt32BE(bytes - RECORD_HEAD_BYTES, 12);
  buffer.writeDoubleBE(batch, 16);
  buffer.writeUInt32BE(crc32(buffer.subarray(8, bytes), salt), 4);
}

/** What records must belong to. */
export interface Chapter {
  readonly generation: number;
  readonly salt: number;
}

interface Record {
  readonly batch: number;
  readonly changes: Buffer;
  readonly end: number;
}

/**
 * The changes of each batch of this chapter of a log. The last one may have been cut off by the end of its
 * hub: nobody was told that it is safe. One that is wrong with others behind it is damage.
 */
export function recordsOf(log: Buffer, chapter: Chapter): Buffer[] {
  const records: Buffer[] = [];
  let at = 0;
  for (let before: Record | undefined; ;) {
    const record = recordAt(log, at, chapter);
    if (!record || (before && record.batch !== before.batch + 1)) break;
    records.push(record.changes);
    at = record.end;
    before = record;
  }
  for (let behind = at; behind + RECORD_HEAD_BYTES <= log.length; behind += ALIGNED_TO)
    if (log.readUInt32BE(behind) === MAGIC && recordAt(log, behind, chapter))
      throw new Damage(`its log is damaged at byte ${at}`);
  return records;
}

function recordAt(log: Buffer, at: number, { generation, salt }: Chapter): Record | undefined {
  if (at + RECORD_HEAD_BYTES > log.length || log.readUInt32BE(at) !== MAGIC) return undefined;
  const end = at + RECORD_HEAD_BYTES + log.readUInt32BE(at + 12);
  if (log.readUInt32BE(at + 8) !== generation || end > log.length) return undefined;
  if (log.readUInt32BE(at + 4) !== crc32(log.subarray(at + 8, end), salt)) return undefined;
  return {
    batch: log.readDoubleBE(at + 16),
    changes: log.subarray(at + RECORD_HEAD_BYTES, end),
    end: recordSize(end),
  };
}
