import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  HEAD_BYTES,
  META_PAGES,
  must,
  numberAt,
  PageFlag,
  readMeta,
  TREE_BYTES,
  treeAt,
  type Meta,
  type Tree,
  type TreeCounts,
} from './data-pages.js';
import { folderError } from './folder-errors.js';

const NODE_HEAD_BYTES = 8;
const OVERFLOW_BYTES = 24;
/** Deeper than any tree whose pages a file system can hold. */
const DEPTH_MAX = 32;
const NodeFlag = { big: 1, tree: 2 } as const;
const TRIES = 5;

/**
 * Throws a Damage if the data file is not one that LMDB can be trusted with: LMDB trusts its file, and a wrong page number
 * ends the process without a word, and every one after it. Every page that is in use has to be where it should be, be what
 * it should be and keep within its bounds. What messages say is not checked.
 */
export function checkDataFile(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    // LMDB fills an empty one.
    if (fstatSync(descriptor).size > 0) checkWhileStill(path, descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Another process may be writing: then what was read does not fit together, and nothing is wrong. */
function checkWhileStill(path: string, descriptor: number): void {
  for (let tries = 1; ; tries++) {
    const meta = readMeta(descriptor);
    try {
      new Check(descriptor, meta).run();
      return;
    } catch (error) {
      if (readMeta(descriptor).transaction === meta.transaction) throw error;
      if (tries >= TRIES)
        throw folderError(
          dirname(path),
          'a process that has it keeps writing',
          'End that one, or give another folder.',
        );
    }
  }
}

/** On the way through one tree, in the order of its keys. */
interface Walk {
  readonly tree: Tree;
  readonly found: TreeCounts;
  /** Looks at a record: its data, and the flags of its node. */
  readonly record: ((data: Buffer, flags: number) => void) | undefined;
  readonly lastKey: Buffer;
  lastKeyBytes: number;
  /** The last key was one that leads to the next, which may be the same. */
  isLead: boolean;
}

class Check {
  readonly #descriptor: number;
  readonly #size: number;
  readonly #meta: Meta;
  /** One page for each level of a tree. */
  readonly #pages: Buffer[] = [];
  /** A bit for each page that has been seen. */
  readonly #seen: Uint8Array;

  constructor(descriptor: number, meta: Meta) {
    this.#descriptor = descriptor;
    this.#size = fstatSync(descriptor).size;
    this.#meta = meta;
    this.#seen = new Uint8Array((meta.lastPage >> 3) + 1);
  }

  run(): void {
    const { free, main } = this.#meta;
    const lists: Buffer[] = [];
    this.#tree(free, (data) => lists.push(Buffer.from(data)));
    const trees: Tree[] = [];
    this.#tree(main, (data, flags) => {
      if (!(flags & NodeFlag.tree)) return;
      must(data.length === TREE_BYTES, 'one of its trees has no root');
      trees.push(treeAt(data, 0));
    });
    for (const tree of trees) this.#tree(tree, undefined);
    for (const list of lists) this.#freePages(list);
  }

  #tree(tree: Tree, record: Walk['record']): void {
    const found: TreeCounts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    if (tree.root !== Infinity) {
      must(tree.depth >= 1 && tree.depth <= DEPTH_MAX, 'one of its trees is wrong');
      const lastKey = Buffer.alloc(this.#meta.pageBytes);
      this.#page(tree.root, tree.depth, { tree, found, record, lastKey, lastKeyBytes: 0, isLead: false });
    }
    const { branchPages, leafPages, overflowPages, entries } = tree.counts;
    must(found.branchPages === branchPages && found.leafPages === leafPages, 'one of its trees is not whole');
    must(found.overflowPages === overflowPages && found.entries === entries, 'one of its trees is not whole');
  }

  #page(number: number, height: number, walk: Walk): void {
    const page = this.#read(number, height);
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    must(numberAt(page, 0) === number, 'a page is in the place of another');
    const kind = height > 1 ? PageFlag.branch : PageFlag.leaf;
    must((page.readUInt16LE(18) & 0xff) === kind, 'a page is of the wrong kind');
    must(lower >= 2 && (lower & 1) === 0 && lower <= upper, 'a page is damaged');
    must(upper <= page.length - HEAD_BYTES, 'a page is damaged');
    const count = lower >> 1;
    if (height > 1) walk.found.branchPages++;
    else {
      walk.found.leafPages++;
      walk.found.entries += count;
    }
    let filled = 0;
    for (let index = 0; index < count; index++) {
      const offset = page.readUInt16LE(HEAD_BYTES + 2 * index);
      const at = HEAD_BYTES + offset;
      must((offset & 1) === 0 && offset >= upper, 'a page is damaged');
      must(at + NODE_HEAD_BYTES <= page.length, 'a page is damaged');
      const key = at + NODE_HEAD_BYTES;
      const data = key + page.readUInt16LE(at + 6);
      must(data <= page.length, 'a page is damaged');
      const end = height > 1 ? data : endOfRecord(page, at, data);
      must(end <= page.length, 'a page is damaged');
      filled += (end - at + 1) & ~1;
      // The first of a branch has no key.
      if (height === 1 || index > 0) {
        must(data > key && isAfter(page, key, data, walk), 'its keys are not in order');
        walk.lastKeyBytes = page.copy(walk.lastKey, 0, key, data);
        walk.isLead = height > 1;
      }
      if (height === 1) this.#record(page, at, data, walk);
      else this.#page(page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 2 ** 32, height - 1, walk);
    }
    // They lie side by side up to the end of the page.
    must(filled === page.length - HEAD_BYTES - upper, 'a page is damaged');
  }

  #record(page: Buffer, at: number, data: number, walk: Walk): void {
    const size = page.readUInt32LE(at);
    const flags = page.readUInt16LE(at + 4);
    if (flags & NodeFlag.big) {
      const number = numberAt(page, data);
      const pages = numberAt(page, data + 16);
      this.#overflow(number, pages, size);
      walk.found.overflowPages += pages;
      if (!walk.record) return;
      const long = Buffer.alloc(size);
      readSync(this.#descriptor, long, 0, size, number * page.length + HEAD_BYTES);
      walk.record(long, flags);
    } else walk.record?.(page.subarray(data, data + size), flags);
  }

  #overflow(number: number, pages: number, size: number): void {
    const { pageBytes } = this.#meta;
    must(pages === Math.floor((HEAD_BYTES - 1 + size) / pageBytes) + 1, 'a long record is damaged');
    for (let page = number; page < number + pages; page++) this.#use(page);
    must((number + pages) * pageBytes <= this.#size, 'it is cut off');
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    readSync(this.#descriptor, head, 0, HEAD_BYTES, number * pageBytes);
    must((head.readUInt16LE(18) & 0xff) === PageFlag.overflow, 'a long record is damaged');
    must(numberAt(head, 0) === number && head.readUInt32LE(20) === pages, 'a long record is damaged');
  }

  #read(number: number, height: number): Buffer {
    this.#use(number);
    const { pageBytes } = this.#meta;
    const page = (this.#pages[height] ??= Buffer.allocUnsafeSlow(pageBytes));
    const bytes = readSync(this.#descriptor, page, 0, pageBytes, number * pageBytes);
    must(bytes === pageBytes, 'it is cut off');
    return page;
  }

  /** Each page once: it has one place. */
  #use(number: number): void {
    must(number >= META_PAGES && number <= this.#meta.lastPage, 'it names a page that is not there');
    const bit = 1 << (number & 7);
    must((this.#seen[number >> 3]! & bit) === 0, 'a page is used twice');
    this.#seen[number >> 3]! |= bit;
  }

  /** How many words follow; in them a page, or a length below zero and the first page of so many, or nothing. */
  #freePages(list: Buffer): void {
    must(list.length >= 8 && list.length % 8 === 0, 'its list of free pages is damaged');
    const count = numberAt(list, 0);
    must(count < list.length / 8, 'its list of free pages is damaged');
    for (let word = 1; word <= count; word++) {
      const value = Number(list.readBigInt64LE(8 * word));
      if (value === 0) continue;
      const length = value < 0 ? -value : 1;
      if (value < 0) word++;
      must(word <= count, 'its list of free pages is damaged');
      const first = numberAt(list, 8 * word);
      must(first + length - 1 <= this.#meta.lastPage, 'its list of free pages is damaged');
      for (let page = first; page < first + length; page++) this.#use(page);
    }
  }
}

/** Where the record of a leaf ends, whose data, or the place of whose long data, begin there. */
function endOfRecord(page: Buffer, at: number, data: number): number {
  const isBig = (page.readUInt16LE(at + 4) & NodeFlag.big) !== 0;
  return data + (isBig ? OVERFLOW_BYTES : page.readUInt32LE(at));
}

/** Whether the key of the page comes after the one before it. */
function isAfter(page: Buffer, from: number, to: number, walk: Walk): boolean {
  const { lastKey, lastKeyBytes, isLead, tree } = walk;
  if (lastKeyBytes === 0) return true;
  const least = isLead ? 0 : 1;
  if (!tree.hasNumberKeys) return page.compare(lastKey, 0, lastKeyBytes, from, to) >= least;
  if (to - from !== lastKeyBytes) return false;
  if (lastKeyBytes === 4) return page.readUInt32LE(from) - lastKey.readUInt32LE(0) >= least;
  return lastKeyBytes === 8 && page.readBigUInt64LE(from) - lastKey.readBigUInt64LE(0) >= least;
}
