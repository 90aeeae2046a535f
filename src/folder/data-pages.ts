import { fstatSync, readSync } from 'node:fs';
import { Damage } from './folder-errors.js';

/* The pages of LMDB's data version 2, little-endian, as far as they have to be read to be checked. */

export const META_PAGES = 2;
export const HEAD_BYTES = 24;
export const TREE_BYTES = 48;
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const META_BYTES = HEAD_BYTES + 168;
const PAGE_BYTES_MAX = 2 ** 16;

export const PageFlag = { branch: 1, leaf: 2, overflow: 4, meta: 8 } as const;
/** Of a tree. */
const NUMBER_KEYS = 8;

/** What LMDB notes of a tree. */
export interface Tree {
  readonly hasNumberKeys: boolean;
  readonly depth: number;
  readonly counts: TreeCounts;
  /** Infinity if it is empty. */
  readonly root: number;
}

export interface TreeCounts {
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

/** One of the two heads of the file. */
export interface Meta {
  readonly pageBytes: number;
  readonly free: Tree;
  readonly main: Tree;
  readonly lastPage: number;
  readonly transaction: number;
}

export function must(condition: boolean, problem: string): void {
  if (!condition) throw new Damage(`its data file is damaged: ${problem}`);
}

/** Of 64 bits; what is too large to be true is Infinity, as is LMDB's "none". */
export function numberAt(page: Buffer, at: number): number {
  const high = page.readUInt32LE(at + 4);
  return high > 0xffff ? Infinity : page.readUInt32LE(at) + high * 2 ** 32;
}

export function treeAt(page: Buffer, at: number): Tree {
  return {
    hasNumberKeys: (page.readUInt16LE(at + 4) & NUMBER_KEYS) !== 0,
    depth: page.readUInt16LE(at + 6),
    counts: {
      branchPages: numberAt(page, at + 8),
      leafPages: numberAt(page, at + 16),
      overflowPages: numberAt(page, at + 24),
      entries: numberAt(page, at + 32),
    },
    root: numberAt(page, at + 40),
  };
}

/** The head that counts: the newer one. */
export function readMeta(descriptor: number): Meta {
  const first = metaAt(descriptor, 0);
  const second = metaAt(descriptor, first.pageBytes);
  must(second.pageBytes === first.pageBytes, 'its two heads differ');
  const meta = second.transaction > first.transaction ? second : first;
  // More than the file has: its last pages may be free, and never written.
  const pages = fstatSync(descriptor).size / meta.pageBytes;
  must(meta.lastPage >= 1 && meta.lastPage < 2 * pages + 2 ** 20, 'its head is wrong');
  return meta;
}

function metaAt(descriptor: number, position: number): Meta {
  const page = Buffer.alloc(META_BYTES);
  must(readSync(descriptor, page, 0, META_BYTES, position) === META_BYTES, 'it is cut off');
  const at = HEAD_BYTES;
  must((page.readUInt16LE(18) & PageFlag.meta) !== 0, 'its head is missing');
  must(page.readUInt32LE(at) === MAGIC, 'its head is missing');
  must((page.readUInt32LE(at + 4) & 0xffff) === DATA_VERSION, 'it has another version');
  const pageBytes = page.readUInt32LE(at + 24);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  must(pageBytes >= 512 && pageBytes <= PAGE_BYTES_MAX && isPowerOfTwo, 'its head is wrong');
  return {
    pageBytes,
    free: treeAt(page, at + 24),
    main: treeAt(page, at + 24 + TREE_BYTES),
    lastPage: numberAt(page, at + 24 + 2 * TREE_BYTES),
    transaction: numberAt(page, at + 32 + 2 * TREE_BYTES),
  };
}
