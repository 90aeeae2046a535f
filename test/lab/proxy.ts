import { connect, createServer, type Server, type Socket } from 'node:net';

/** A Unix socket's path, or a port of this machine. */
export type Place = string | number;
export type Direction = 'toBroker' | 'fromBroker';

/** One of the two streams of a connection. */
interface Stream {
  readonly direction: Direction;
  readonly from: Socket;
  readonly to: Socket;
}

/** Stands between masters and their broker, and does to connections what networks do. */
export class SocketProxy {
  delayMs = 0;
  /** So many connections were ever made. */
  accepted = 0;
  readonly #to: Place;
  readonly #server: Server;
  readonly #streams = new Set<Stream>();
  readonly #frozen = new Set<Direction>();
  #cut: { direction: Direction; bytesLeft: number } | undefined;
  #halt: { text: string; left: number; reached: () => void } | undefined;
  #forged: { from: string; to: string } | undefined;

  private constructor(to: Place) {
    this.#to = to;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#join(client));
  }

  static async listen({ at, to }: { readonly at: Place; readonly to: Place }): Promise<SocketProxy> {
    const proxy = new SocketProxy(to);
    await new Promise<void>((resolve, reject) => proxy.#server.once('error', reject).listen(at, resolve));
    return proxy;
  }

  /** Of a proxy that listens at a port. */
  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get connections(): number {
    return this.#streams.size / 2;
  }

  /** Both sides of every connection see it end at once. */
  reset(): void {
    for (const { from } of this.#streams) end(from);
  }

  /** Nothing passes, not even an end, until it thaws: then all of it does. */
  freeze(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#frozen.add(direction);
    for (const { direction, from } of this.#streams) if (this.#frozen.has(direction)) from.pause();
  }

  thaw(): void {
    this.#frozen.clear();
    for (const { from } of this.#streams) from.resume();
  }

  /** So many more bytes pass in that direction; then the connection that carried the last of them is reset. */
  cutAfter(bytes: number, direction: Direction): void {
    this.#cut = { direction, bytesLeft: bytes };
  }

  /**
   * Both directions freeze just before so many-th time that masters say this to the broker from now on. Resolves when it is so.
   */
  haltBefore(text: string, count: number): Promise<void> {
    return new Promise((reached) => (this.#halt = { text, left: count, reached }));
  }

  /** What masters say to the broker arrives as another word of the same length, until `undefined` ends it. */
  forge(forged: { readonly from: string; readonly to: string } | undefined): void {
    this.#forged = forged;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.thaw();
    this.reset();
    await closed;
  }

  #join(client: Socket): void {
    this.accepted++;
    const options = { allowHalfOpen: true, noDelay: true };
    const broker = connect(
      typeof this.#to === 'string' ? { path: this.#to, ...options } : { port: this.#to, ...options },
    );
    this.#carry({ direction: 'toBroker', from: client, to: broker });
    this.#carry({ direction: 'fromBroker', from: broker, to: client });
  }

  #carry(stream: Stream): void {
    const { direction, from, to } = stream;
    this.#streams.add(stream);
    from.on('data', (chunk) => this.#later(() => this.#pass(stream, chunk)));
    from.on('end', () => this.#later(() => to.end()));
    from.on('error', () => {});
    from.on('close', () => {
      this.#streams.delete(stream);
      // The other side hears of it, unless nothing passes in that direction.
      if (!this.#frozen.has(direction)) this.#later(() => end(to));
    });
    if (this.#frozen.has(direction)) from.pause();
  }

  #pass(stream: Stream, said: Buffer): void {
    const { direction, from, to } = stream;
    const chunk = direction === 'toBroker' ? this.#halted(this.#changed(said)) : said;
    const cut = this.#cut?.direction === direction ? this.#cut : undefined;
    if (!cut || chunk.length < cut.bytesLeft) {
      if (cut) cut.bytesLeft -= chunk.length;
      to.write(chunk);
      return;
    }
    this.#cut = undefined;
    to.write(chunk.subarray(0, cut.bytesLeft), () => {
      end(from);
      end(to);
    });
  }

  #changed(chunk: Buffer): Buffer {
    if (!this.#forged) return chunk;
    const { from, to } = this.#forged;
    return Buffer.from(chunk.toString('latin1').replaceAll(from, to), 'latin1');
  }

  /** As much as passes before it halts. */
  #halted(chunk: Buffer): Buffer {
    const halt = this.#halt;
    if (!halt) return chunk;
    for (let at = chunk.indexOf(halt.text); at >= 0; at = chunk.indexOf(halt.text, at + 1)) {
      if (--halt.left > 0) continue;
      this.#halt = undefined;
      this.freeze('toBroker', 'fromBroker');
      halt.reached();
      return chunk.subarray(0, at);
    }
    return chunk;
  }

  #later(step: () => void): void {
    if (this.delayMs > 0) setTimeout(step, this.delayMs);
    else step();
  }
}

function end(socket: Socket): void {
  // Of a TCP connection both sides shall see a reset; a Unix socket knows none.
  if (socket.remotePort === undefined) socket.destroy();
  else socket.resetAndDestroy();
}
