import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The program of RabbitMQ, or what to do to have one. */
export type Found = { readonly program: string; readonly missing?: undefined } | { readonly missing: string };

const HOW =
  'Install RabbitMQ (Debian: rabbitmq-server; macOS: brew install rabbitmq), or name one in SIGNALBOX_TEST_AMQP_URL.';

/** The one that is named in the environment, else looks for it, and on Debian, as root, installs it. */
export function rabbitServer(): Found {
  const named = process.env['SIGNALBOX_TEST_RABBITMQ'];
  if (named) return existsSync(named) ? { program: named } : { missing: `${named} is not there.` };
  const present = find();
  if (present) return { program: present };
  if (!mayInstall()) return { missing: HOW };
  console.log(
    'Installing rabbitmq-server from Debian: the tests need a broker. It is not started as a service.',
  );
  const failure = withoutStartingServices(() => install('rabbitmq-server'));
  const installed = find();
  return installed
    ? { program: installed }
    : { missing: `${failure ?? 'It was installed, and is not there.'} ${HOW}` };
}

/** The real program: Debian's in the PATH is a wrapper that changes the user. */
function find(): string | undefined {
  const places = ['/usr/lib/rabbitmq/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  return places.map((folder) => join(folder, 'rabbitmq-server')).find((program) => existsSync(program));
}

function mayInstall(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return false;
  return /^ID(?:_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
}

/** What went wrong, if anything. */
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
