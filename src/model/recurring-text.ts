const ASCII_END = 0x80;

/**
 * A text in one place of the messages that are packed or read one after the other, where it is often the same for many in a
 * row: then its bytes are copied, or compared and the same string is given, which its readers know already.
 */
export class RecurringText {
  #text = '';
  #bytes: Buffer | undefined;

  /** As `Buffer.write`: returns how many bytes it takes. */
  write(target: Buffer, at: number, text: string): number {
    if (text !== this.#text) {
      this.#text = text;
      this.#bytes = undefined;
      return target.write(text, at);
    }
    this.#bytes ??= Buffer.from(text);
    target.set(this.#bytes, at);
    return this.#bytes.length;
  }

  /** As `Buffer.toString`. */
  read(source: Buffer, from: number, to: number): string {
    return this.#isAt(source, from, to) ? this.#text : this.#remember(source.toString('utf8', from, to));
  }

  #isAt(source: Buffer, from: number, to: number): boolean {
    const text = this.#text;
    if (to - from !== text.length) return false;
    for (let index = 0; index < text.length; index++) {
      const byte = source[from + index]!;
      if (byte !== text.charCodeAt(index) || byte >= ASCII_END) return false;
    }
    return true;
  }

  #remember(text: string): string {
    this.#text = text;
    this.#bytes = undefined;
    return text;
  }
}
