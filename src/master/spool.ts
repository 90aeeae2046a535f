import type { Spool } from '../flow/spool.js';
import { checkMasterOptions, type MasterOptions } from './options.js';

/** Opens the spool that a master asks for; undefined if it asks for none. Rejects with a FolderError. */
export async function findSpool(options: MasterOptions): Promise<Spool | undefined> {
  const { spool, environment } = checkMasterOptions(options);
  if (!spool) return undefined;
  // Whoever asks for no spool loads no LMDB.
  const { openSpool } = await import('../spool/index.js');
  return openSpool(spool.folder, { environment, bytesMax: spool.bytesMax });
}
