const BUFFER_BYTES = 65_536;

/** Bytes on their way to a socket: written one after the other into a buffer, which is used again when all have gone. */
export class OutgoingBytes {
  buffer: Buffer = Buffer.alloc(0);
  /** Where the next byte goes. */
  end = 0;
  #begin = 0;
  #full: Buffer[] = [];
  #fullBytes = 0;

  /** How many have not been taken. */
  get length(): number {
    return this.#fullBytes + this.end - this.#begin;
  }

  /** Makes room for so many in one piece. What is there already may then lie in another buffer. */
  reserve(bytes: number): void {
    if (this.end + bytes <= this.buffer.length) return;
    this.#setAside();
    this.buffer = Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES, bytes));
    this.#begin = this.end = 0;
  }

  /** All of them. */
  take(): readonly Buffer[] {
    this.#setAside();
    const full = this.#full;
    this.#full = [];
    this.#fullBytes = 0;
    return full;
  }

  /** All that were taken have gone. */
  rewind(): void {
    if (this.length > 0) return;
    this.#begin = this.end = 0;
    if (this.buffer.length > BUFFER_BYTES) this.buffer = Buffer.alloc(0);
  }

  #setAside(): void {
    if (this.end === this.#begin) return;
    this.#full.push(this.buffer.subarray(this.#begin, this.end));
    this.#fullBytes += this.end - this.#begin;
    this.#begin = this.end;
  }
}
