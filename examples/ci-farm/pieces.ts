/**
 * Cuts a stream of bytes at a separator and decodes each piece; what is no UTF-8 becomes U+FFFD. A piece longer than
 * `maxBytes` ends there and its rest is dropped, so that no line is too long for memory or for a message.
 */
export async function* pieces(
  stream: AsyncIterable<Uint8Array>,
  options: { readonly separator: number; readonly maxBytes: number },
): AsyncGenerator<string> {
  const { separator, maxBytes } = options;
  let parts: Uint8Array[] = [];
  let size = 0;
  const keep = (part: Uint8Array) => {
    const room = Math.min(part.length, maxBytes - size);
    if (room > 0) parts.push(part.subarray(0, room));
    size += room;
  };
  const take = () => {
    const piece = Buffer.concat(parts).toString('utf8');
    parts = [];
    size = 0;
    return piece;
  };
  let isOpen = false;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(separator); at >= 0; at = chunk.indexOf(separator, from)) {
      keep(chunk.subarray(from, at));
      yield take();
      from = at + 1;
      isOpen = false;
    }
    if (from === chunk.length) continue;
    // A copy: the stream may use its chunk again.
    keep(Uint8Array.from(chunk.subarray(from)));
    isOpen = true;
  }
  if (isOpen) yield take();
}
