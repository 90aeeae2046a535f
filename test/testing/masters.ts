import assert from 'node:assert/strict';
import { afterEach } from 'vitest';
import type { MaybeCatalogue } from '../../src/index.js';
import { createTestMaster, type TestMaster, type TestMasterOptions } from '../../src/testing/test-master.js';

const masters: { readonly clock: TestMaster['clock']; [Symbol.asyncDispose](): Promise<void> }[] = [];

/** A master that is stopped after the test that runs, and leaves nothing. */
export async function create<C extends MaybeCatalogue = undefined>(
  options: TestMasterOptions<C> = {},
): Promise<TestMaster<C>> {
  const master = await createTestMaster(options);
  masters.push(master);
  return master;
}

afterEach(async () => {
  const clocks = new Set(masters.map(({ clock }) => clock));
  for (const master of masters.splice(0)) await master[Symbol.asyncDispose]();
  for (const clock of clocks) assert.equal(clock.pending, 0, 'timers are left');
});
