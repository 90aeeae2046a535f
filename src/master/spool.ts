import type { Spool } from '../flow/spool.js';
import type { Environment } from '../model/clock.js';
import type { MaybeCatalogue } from '../model/typed-message.js';
import { checkMasterOptions, type MasterOptions, type SpoolOptions } from './options.js';

/** Opens the spool that a master asks for; undefined if it asks for none. Rejects with a FolderError. */
export function findSpool(options: MasterOptions<MaybeCatalogue>): Promise<Spool> | undefined {
  const { spool, environment } = checkMasterOptions(options);
  return spool && openFolder(spool, environment);
}

async function openFolder(
  { folder, bytesMax }: Required<SpoolOptions>,
  environment: Environment,
): Promise<Spool> {
  // Whoever asks for no spool loads no LMDB.
  const { openSpool } = await import('../spool/index.js');
  return openSpool(folder, { environment, bytesMax });
}
