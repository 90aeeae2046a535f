import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { ChangeList, readChanges, Subject } from '../../src/backends/file/change-list.js';
import { findLogs, Log, logFile, readLog } from '../../src/backends/file/log.js';
import { RECORD_HEAD_BYTES, recordsOf, sealRecord } from '../../src/backends/file/log-record.js';
import { newFolder } from './store-lab.js';

const chapter = { generation: 3, salt: 77 };

function listOf(...texts: string[]): ChangeList {
  const changes = new ChangeList(RECORD_HEAD_BYTES);
  for (const [place, text] of texts.entries()) changes.put(Subject.entry, 1, place, Buffer.from(text));
  return changes;
}

function recordOf(batch: number, ...texts: string[]): Buffer {
  const { buffer, bytes } = listOf(...texts);
  sealRecord(buffer, bytes, chapter, batch);
  return Buffer.concat([buffer.subarray(0, bytes), Buffer.alloc((8 - (bytes % 8)) % 8)]);
}

function textsOf(records: readonly Buffer[]): string[] {
  const texts: string[] = [];
  const sink = {
    put: (...[, , , bytes]: readonly [unknown, unknown, unknown, Uint8Array]) =>
      texts.push(Buffer.from(bytes).toString()),
    remove: (...[subject, queue, place]: readonly unknown[]) => texts.push(`-${subject}/${queue}/${place}`),
  };
  for (const record of records) readChanges(record, sink);
  return texts;
}

const three = [recordOf(4, 'a', 'b'), recordOf(5, ''), recordOf(6, 'c'.repeat(1_000))];
const zeros = Buffer.alloc(4_096);

describe('records of the log', () => {
  it('are read up to the first that is none', () => {
    const all = ['a', 'b', '', 'c'.repeat(1_000)];
    assert.deepEqual(textsOf(recordsOf(Buffer.concat(three), chapter)), all);
    assert.deepEqual(textsOf(recordsOf(Buffer.concat([...three, zeros]), chapter)), all);
    assert.deepEqual(recordsOf(zeros, chapter), []);
    assert.deepEqual(recordsOf(Buffer.alloc(0), chapter), []);
  });

  it('of another generation, and of another file, are none', () => {
    const log = Buffer.concat([...three, zeros]);
    assert.deepEqual(recordsOf(log, { ...chapter, generation: 4 }), []);
    assert.deepEqual(recordsOf(log, { ...chapter, salt: 78 }), []);
  });

  it('end where the last one was cut off, wherever that was', () => {
    const log = Buffer.concat(three);
    fc.assert(
      fc.property(fc.nat(log.length - 1), fc.boolean(), (length, padded) => {
        const cut = padded ? Buffer.concat([log.subarray(0, length), zeros]) : log.subarray(0, length);
        // What is cut off may have been zeros too.
        let whole = 0;
        for (let start = 0; whole < three.length; start += three[whole++]!.length) {
          const end = start + RECORD_HEAD_BYTES + three[whole]!.readUInt32BE(12);
          if (!cut.subarray(start, end).equals(log.subarray(start, end))) break;
        }
        assert.deepEqual(recordsOf(cut, chapter), recordsOf(log, chapter).slice(0, whole));
      }),
    );
  });

  it('are damaged if one is wrong and others come behind it, whichever byte it is', () => {
    const before = three[0]!.length + three[1]!.length;
    for (let at = 0; at < before; at++) {
      const log = Buffer.concat(three);
      log[at]! ^= 0x10;
      // What fills a record up to a multiple of 8 says nothing.
      if (isFiller(at)) assert.equal(recordsOf(log, chapter).length, 3);
      else assert.throws(() => recordsOf(log, chapter), /log is damaged at byte/, `byte ${at}`);
    }
  });

  it('are damaged if one in between is missing', () => {
    assert.throws(() => recordsOf(Buffer.concat([three[0]!, three[2]!]), chapter), /log is damaged/);
  });
});

function isFiller(at: number): boolean {
  let start = 0;
  for (const record of three) {
    if (at < start + record.length) return at >= start + RECORD_HEAD_BYTES + record.readUInt32BE(12);
    start += record.length;
  }
  return true;
}

describe('changes', () => {
  it('come out as they went in', () => {
    const changes = new ChangeList(RECORD_HEAD_BYTES);
    assert.equal(changes.isEmpty, true);
    changes.put(Subject.entry, 2 ** 32 - 1, 2 ** 47, Buffer.alloc(200_000, 'x'));
    changes.remove(Subject.entry, 2 ** 32 - 1, 2 ** 47);
    changes.put(Subject.queue, 1, 0, new Uint8Array());
    const { buffer, bytes } = changes;
    assert.deepEqual(textsOf([buffer.subarray(RECORD_HEAD_BYTES, bytes)]), [
      'x'.repeat(200_000),
      `-${Subject.entry}/${2 ** 32 - 1}/${2 ** 47}`,
      '',
    ]);
  });
});

describe('a log', () => {
  const plenty = { hasPlentyBeside: () => true, opened: () => Promise.resolve() };

  async function openLog(ports = plenty) {
    const folder = newFolder();
    mkdirSync(folder);
    const file = logFile(7, 'name');
    const log = new Log(folder, file, ports);
    const path = join(folder, file);
    const read = (generation: number) => textsOf(readLog(folder, findLogs(folder)[0]!, generation));
    return { folder, log, path, read };
  }

  it('begins at its start again when the table has everything', async () => {
    const { folder, log, path, read } = await openLog();
    assert.equal(await log.append(listOf('a'), 1), true);
    assert.equal(await log.append(listOf('b'), 2), true);
    assert.deepEqual(findLogs(folder), [{ file: 'log-7-name', hub: 7 }]);
    assert.deepEqual(read(1), ['a', 'b']);
    log.restart();
    assert.deepEqual(read(2), []);
    assert.equal(await log.append(listOf('c'), 3), true);
    assert.deepEqual(read(2), ['c']);
    assert.equal(statSync(path).size, 2 ** 20);
    await log.close();
  });

  it('says when it has no room, and keeps what it has', async () => {
    const { log, path, read } = await openLog();
    const part = 'x'.repeat(3e6);
    assert.equal(await log.append(listOf(part), 1), true);
    assert.equal(await log.append(listOf(part), 2), true);
    assert.equal(await log.append(listOf(part), 3), false);
    assert.deepEqual(read(1), [part, part]);
    log.restart();
    assert.equal(await log.append(listOf(part), 4), true);
    assert.equal(await log.append(listOf('x'.repeat(9e6)), 5), false);
    assert.ok(statSync(path).size <= 2 ** 23);
    await log.close();
  });

  it('takes nothing of a disk that is low', async () => {
    const { folder, log } = await openLog({ hasPlentyBeside: () => false, opened: () => Promise.resolve() });
    assert.equal(await log.append(listOf('a'), 1), false);
    assert.deepEqual(findLogs(folder), []);
    await log.close();
  });

  it('closes when what is being written is written', async () => {
    const { log, path } = await openLog();
    const appended = log.append(listOf('x'.repeat(1e6)), 1);
    await log.close();
    assert.equal(await appended, true);
    assert.ok(readFileSync(path).includes('xxx'));
  });
});
