/** What comes of a write of LMDB on a condition: what went wrong with it, LMDB tells by a promise of its own. */
export async function committed(write: Promise<boolean>): Promise<boolean> {
  try {
    return await write;
  } catch (error) {
    const { commitError } = error as { commitError?: Promise<never> };
    if (commitError) await commitError;
    throw error;
  }
}
