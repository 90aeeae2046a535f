import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/*
 * `npm run test:matrix`: what speaks to a RabbitMQ, against a current one. Debian has it in its next release: that is unpacked into
 * a folder of its own beside the old one, once, and run there by chroot.
 */

const RELEASE = 'trixie';
const FOLDER = join(homedir(), '.cache', 'signalbox-tests', RELEASE);
const HOW =
  'No RabbitMQ 4: name its rabbitmq-server in SIGNALBOX_TEST_RABBITMQ, or run this as root on Debian with debootstrap installed.';
const TESTS = ['conformance-amqp', 'interoperability-amqp', 'faults-amqp', 'access-amqp'];

function main(): number {
  const named = process.env['SIGNALBOX_TEST_RABBITMQ'];
  const env = named === undefined ? unpacked() : { SIGNALBOX_TEST_RABBITMQ: named };
  if (!env) {
    console.error(HOW);
    return 1;
  }
  const args = [
    'vitest',
    'run',
    '--dir',
    'test',
    ...(process.argv.length > 2 ? process.argv.slice(2) : TESTS),
  ];
  return (
    spawnSync('npx', args, { stdio: 'inherit', env: { ...process.env, ...env, CI: 'true' } }).status ?? 1
  );
}

function unpacked(): Record<string, string> | undefined {
  const programs = join(FOLDER, 'signalbox');
  if (!existsSync(programs) && !unpack(programs)) return undefined;
  return {
    SIGNALBOX_TEST_RABBITMQ: join(programs, 'rabbitmq-server'),
    SIGNALBOX_TEST_RABBITMQ_FOLDER: join(FOLDER, 'tmp'),
  };
}

function unpack(programs: string): boolean {
  const mirror = debianMirror();
  if (process.getuid?.() !== 0 || !existsSync('/usr/sbin/debootstrap') || mirror === undefined) return false;
  console.log(`Unpacking RabbitMQ of Debian ${RELEASE} into ${FOLDER}: about 400 MB, once.`);
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const include = '--include=rabbitmq-server';
  const options = ['--variant=minbase', include, RELEASE, FOLDER, mirror];
  if (spawnSync('/usr/sbin/debootstrap', options, { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0)
    return false;
  // A path in the folder means the same inside and outside.
  mkdirSync(join(FOLDER, dirname(FOLDER)), { recursive: true });
  symlinkSync('/', join(FOLDER, FOLDER));
  mkdirSync(programs);
  for (const name of ['rabbitmq-server', 'rabbitmqctl']) {
    const path = join(programs, name);
    writeFileSync(path, `#!/bin/sh\nexec chroot ${FOLDER} /usr/lib/rabbitmq/bin/${name} "$@"\n`);
    chmodSync(path, 0o755);
  }
  return true;
}

/** Where this machine has its own packages from. */
function debianMirror(): string | undefined {
  if (!existsSync('/usr/bin/apt-get')) return undefined;
  const told = execFileSync('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Identifier: Packages'], {
    encoding: 'utf8',
  });
  return told.split('\n').find((uri) => /\/debian\/?$/.test(uri));
}

process.exitCode = main();
