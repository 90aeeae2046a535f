import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Whether `installFromDebian` may be called here: on Debian, as root. */
export function mayInstall(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return false;
  return /^ID(?:_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
}

/** Says in one line what it does, and starts no service. What went wrong, if anything. */
export function installFromDebian(name: string): string | undefined {
  console.log(`Installing ${name} from Debian: the tests need a broker. It is not started as a service.`);
  return withoutStartingServices(() => install(name));
}

function install(name: string): string | undefined {
  const options = {
    stdio: 'pipe',
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  } as const;
  const get = (...words: string[]) => spawnSync('apt-get', ['-qq', ...words], options);
  const words = ['install', '-y', '--no-install-recommends', name];
  let tried = get(...words);
  if (tried.status !== 0) {
    get('update');
    tried = get(...words);
  }
  return tried.status === 0 ? undefined : `apt-get: ${tried.stderr.trim().slice(-500)}.`;
}

const POLICY = '/usr/sbin/policy-rc.d';

/** Debian starts the services that it installs, unless this file says no. It is put back as it was. */
function withoutStartingServices<T>(work: () => T): T {
  const kept = `${POLICY}.signalbox`;
  const isThere = existsSync(POLICY);
  if (isThere) renameSync(POLICY, kept);
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    return work();
  } finally {
    if (isThere) renameSync(kept, POLICY);
    else rmSync(POLICY, { force: true });
  }
}
