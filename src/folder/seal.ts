import { crc32 } from 'node:zlib';
import { Damage } from './folder-errors.js';

/** With a checksum before it: LMDB has none, and what was written wrong must not be taken for right. */
export function seal(bytes: Uint8Array): Uint8Array {
  const sealed = Buffer.allocUnsafeSlow(bytes.length + 4);
  sealed.writeUInt32BE(crc32(bytes), 0);
  sealed.set(bytes, 4);
  return sealed;
}

/** Throws a Damage if they are not the bytes that were sealed. */
export function unseal(what: string, sealed: Uint8Array): Uint8Array {
  const bytes = sealed.subarray(4);
  if (sealed.length >= 4 && new DataView(sealed.buffer, sealed.byteOffset).getUint32(0) === crc32(bytes))
    return bytes;
  throw new Damage(`its ${what} is damaged`);
}
