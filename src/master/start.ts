import type { Spool } from '../flow/spool.js';
import type { MaybeCatalogue } from '../model/typed-message.js';
import { checkSignal, type MasterOptions } from './options.js';
import { findSpool } from './spool.js';

/** Opens the spool that the options ask for, and makes the master with it. Rejects with what is wrong with the options. */
export async function makeMaster<M>(
  options: MasterOptions<MaybeCatalogue>,
  make: (spool: Spool | undefined) => M,
): Promise<M> {
  // Whoever writes JavaScript may have forgotten them.
  checkSignal(options?.signal)?.throwIfAborted();
  const opening = findSpool(options);
  // Without one it begins at once.
  const spool = opening && (await opening);
  try {
    return make(spool);
  } catch (error) {
    await spool?.close();
    throw error;
  }
}

/** Resolves when it is ready. Given up by the signal, it rejects with its reason once the master has stopped. */
export async function untilReady<M extends { readonly ready: Promise<void>; stop(): Promise<void> }>(
  master: M,
  signal: AbortSignal | undefined,
): Promise<M> {
  const giveUp = () => void master.stop();
  signal?.addEventListener('abort', giveUp, { once: true });
  if (signal?.aborted) giveUp();
  try {
    await master.ready;
  } catch (error) {
    if (!signal?.aborted) throw error;
    await master.stop();
    throw signal.reason;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
  return master;
}
