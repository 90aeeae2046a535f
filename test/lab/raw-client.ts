import { connect, type Socket } from 'node:net';
import { errorOf } from '../../src/backends/file/error-words.js';
import { FrameReader, FrameWriter, type Word } from '../../src/backends/file/frames.js';
import { FRAME_MAX_BYTES, MAGIC, PROTOCOL, Said, Told } from '../../src/backends/file/words.js';

/** Somebody at a hub's socket who speaks the protocol as well as it likes. */
export class RawClient {
  readonly heard: Word[] = [];
  readonly closed: Promise<void>;
  readonly socket: Socket;
  readonly #writer: FrameWriter;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#writer = new FrameWriter(socket);
    const reader = new FrameReader(FRAME_MAX_BYTES);
    socket.on('data', (chunk) => reader.read(chunk, (words) => this.heard.push(...words)));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.#isClosed = true;
        resolve();
      }),
    );
  }

  static async connect(path: string): Promise<RawClient> {
    const client = new RawClient(connect(path));
    await new Promise((resolve, reject) => client.socket.once('connect', resolve).once('error', reject));
    return client;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Why the hub ended the connection, as far as it said. */
  get refusal(): Error | undefined {
    const word = this.heard.find(([kind]) => kind === Told.refused);
    return word && errorOf(word[1]);
  }

  hello(master: string, details: Record<string, unknown> = {}): void {
    const hello = { magic: MAGIC, protocol: PROTOCOL, namespace: 'signalbox', master, incarnation: master };
    this.say([Said.hello, { ...hello, ownerTimeoutMs: 30_000, ...details }]);
  }

  /** One frame. */
  say(...words: readonly Word[]): void {
    for (const word of words) this.#writer.say(word);
    this.#writer.flush();
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** A frame with whatever body. */
  frame(body: Uint8Array): void {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    this.write(Buffer.concat([header, body]));
  }

  end(): Promise<void> {
    this.socket.destroy();
    return this.closed;
  }
}
