import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsumerNotes, type Noted } from '../../src/backends/file/consumer-notes.js';
import { FrameReader, FrameWriter, type Word } from '../../src/backends/file/frames.js';
import { RunReader, type RunHead } from '../../src/backends/file/runs.js';
import { Said } from '../../src/backends/file/words.js';
import { ProtocolError } from '../../src/model/errors.js';

const RUN = 9;

/** A socket that keeps what is written, and takes it at once or when told. */
class Kept extends Duplex {
  readonly pieces: Buffer[] = [];
  #taken: (() => void) | undefined;

  constructor(readonly isSlow: boolean) {
    super();
  }

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    // As the kernel does: what is written later in its place must not change it.
    const take = () => {
      this.pieces.push(Buffer.from(piece));
      done();
    };
    if (this.isSlow) this.#taken = take;
    else take();
  }

  override _read(): void {}

  takeAll(): void {
    while (this.#taken) {
      const take = this.#taken;
      this.#taken = undefined;
      take();
    }
  }
}

const writerTo = (socket: Kept) => new FrameWriter(socket as unknown as Socket);

/** Words as they were said: messages of a run one by one. */
function heard(chunks: readonly Buffer[]): unknown[] {
  const said: unknown[] = [];
  const reader = new FrameReader(1e9);
  const hear = (words: readonly Word[]) => {
    for (const word of words) {
      if (word[0] !== RUN) said.push(word);
      else {
        const run = new RunReader(word[1] as Buffer);
        while (run.next()) said.push([...run.numbers, run.bytes.toString('latin1', run.from, run.to)]);
      }
    }
  };
  for (const chunk of chunks) reader.read(chunk, hear);
  return said;
}

describe('frames', () => {
  it('bring every word and every message in order, however the bytes are cut', () => {
    const words = fc.constantFrom('word', 'flush', 'take');
    const messages = fc.tuple(fc.nat(1), fc.oneof(fc.nat(40), fc.nat(9_000), fc.constant(70_000)));
    fc.assert(
      fc.property(
        fc.array(fc.oneof(words, { arbitrary: messages, weight: 4 }), { maxLength: 60 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 20 }),
        (steps, isSlow, cuts) => {
          const socket = new Kept(isSlow);
          const writer = writerTo(socket);
          const said: unknown[] = [];
          steps.forEach((step, at) => {
            if (step === 'flush') writer.flush();
            else if (step === 'take') socket.takeAll();
            else if (step === 'word') {
              writer.say([1, at]);
              said.push([1, at]);
            } else {
              const [a, length] = step;
              const text = String.fromCharCode(65 + (at % 26)).repeat(length);
              const head: RunHead = [RUN, a, 2, 3, 4];
              writer.carry(head, Buffer.from(text));
              said.push([a, 2, 3, 4, text]);
            }
          });
          writer.flush();
          socket.takeAll();
          expect(writer.bytesWaiting).toBe(0);
          const bytes = Buffer.concat(socket.pieces);
          const chunks: Buffer[] = [];
          for (let at = 0, cut = 0; at < bytes.length; cut++) {
            const next = at + cuts[cut % cuts.length]!;
            chunks.push(bytes.subarray(at, next));
            at = next;
          }
          expect(heard(chunks)).toEqual(said);
        },
      ),
    );
  });

  it('that carry a run which is none are refused', () => {
    const head = Buffer.alloc(32);
    const cases = [
      Buffer.alloc(31),
      Buffer.alloc(32, 0xff),
      Buffer.concat([head, Buffer.from([0, 0, 0])]),
      Buffer.concat([head, Buffer.from([0, 0, 0, 1])]),
      Buffer.concat([head, Buffer.alloc(4, 0xff)]),
    ];
    for (const bytes of cases) {
      const read = () => {
        const run = new RunReader(bytes);
        while (run.next());
      };
      expect(read).toThrow(ProtocolError);
    }
  });
});

describe('the notes of a consumer', () => {
  function notesOf(
    act: (notes: ConsumerNotes, delivery: (number: number) => Noted, flush: () => void) => void,
  ) {
    const socket = new Kept(false);
    const writer = writerTo(socket);
    const deliveries = new Map<number, Noted>();
    const delivery = (number: number) => {
      const found = deliveries.get(number) ?? { number, unsaidAttempt: 0 };
      deliveries.set(number, found);
      return found;
    };
    act(new ConsumerNotes(writer, 5), delivery, () => writer.flush());
    writer.flush();
    return heard(socket.pieces);
  }

  it('say one word for deliveries that were acked one after the other', () => {
    const said = notesOf((notes, delivery) => {
      for (let number = 1; number <= 9; number++) {
        notes.begin(delivery(number), 1);
        if (number !== 5) notes.ack(delivery(number));
      }
    });
    expect(said).toEqual([
      [Said.begin, 5, 5, 1],
      [Said.ack, 5, 1, 4],
      [Said.ack, 5, 6, 9],
    ]);
  });

  it('say what has begun with the frame in which it began, and its ack with a later one', () => {
    const said = notesOf((notes, delivery, flush) => {
      notes.begin(delivery(1), 2);
      notes.begin(delivery(2), 1);
      flush();
      notes.ack(delivery(2));
      flush();
      notes.ack(delivery(1));
    });
    expect(said).toEqual([
      [Said.begin, 5, 1, 2],
      [Said.begin, 5, 2, 1],
      [Said.ack, 5, 2, 2],
      [Said.ack, 5, 1, 1],
    ]);
  });
});
