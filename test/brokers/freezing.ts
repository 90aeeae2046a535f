import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { eventually } from '../eventually.js';

/** Stops a program where it is. Resolves when each of its threads stands still: the signal alone says only that it shall. */
export async function freeze(child: ChildProcess): Promise<void> {
  child.kill('SIGSTOP');
  const tasks = `/proc/${child.pid}/task`;
  await eventually('it stands still', () =>
    readdirSync(tasks).every((task) => /^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8'))),
  );
}
