import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { onePackage, wholeSystem } from './other-releases.js';

/*
 * `npm run test:matrix`: what speaks to a broker, against other versions than this machine's. `npm run test:matrix -- nats-2.10`
 * takes one of them; any other word is of a test file's name, and only such files are run.
 */

interface Version {
  readonly title: string;
  /** The names of its test files. */
  readonly files: RegExp;
  /** What tells the tests to use it; undefined if it can't be had. */
  readonly environment: () => Record<string, string> | undefined;
  readonly how: string;
  /** A release that changes from day to day may have none. */
  readonly mayBeMissing: boolean;
}

const versions: Record<string, Version> = {
  'rabbitmq-4': {
    title: 'RabbitMQ 4',
    files: /amqp/,
    environment: () => named('SIGNALBOX_TEST_RABBITMQ') ?? rabbitOf('trixie'),
    how: 'name its rabbitmq-server in SIGNALBOX_TEST_RABBITMQ, or run this as root on Debian with debootstrap installed',
    mayBeMissing: false,
  },
  'nats-2.10': {
    title: 'NATS 2.10',
    files: /jetstream|nats/,
    environment: () => natsOf('trixie', { moves: false }),
    how: 'run this on Debian',
    mayBeMissing: false,
  },
  'nats-newest': {
    title: 'the newest NATS',
    files: /jetstream|nats/,
    environment: () => named('SIGNALBOX_TEST_NATS') ?? natsOf('sid', { moves: true }),
    how: 'name its nats-server in SIGNALBOX_TEST_NATS, or run this on Debian',
    mayBeMissing: true,
  },
};

function named(variable: string): Record<string, string> | undefined {
  const program = process.env[variable];
  return program === undefined ? undefined : { [variable]: program };
}

function rabbitOf(release: string): Record<string, string> | undefined {
  const system = wholeSystem(release, ['rabbitmq-server']);
  if (!system) return undefined;
  const [server] = ['rabbitmq-server', 'rabbitmqctl'].map((name) =>
    system.program(`/usr/lib/rabbitmq/bin/${name}`),
  );
  return { SIGNALBOX_TEST_RABBITMQ: server!, SIGNALBOX_TEST_RABBITMQ_FOLDER: system.temporary };
}

function natsOf(release: string, options: { moves: boolean }): Record<string, string> | undefined {
  const folder = onePackage(release, 'nats-server', options);
  if (folder === undefined) return undefined;
  const program = join(folder, 'usr', 'sbin', 'nats-server');
  console.log(`Debian ${release}: ${execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()}`);
  return { SIGNALBOX_TEST_NATS: program };
}

/** The status of the worst. */
function main(words: readonly string[]): number {
  const names = words.filter((word) => Object.hasOwn(versions, word));
  const filters = words.filter((word) => !names.includes(word));
  const wanted = (names.length > 0 ? names : Object.keys(versions)).map((name) => versions[name]!);
  const plans = wanted.map((version) => ({ version, files: testsOf(version, filters) }));
  if (plans.every(({ files }) => files.length === 0)) {
    console.error(`No test file of ${names.join(', ') || 'a broker'} is named ${filters.join(' and ')}.`);
    return 1;
  }
  const statuses = plans.map(({ version, files }) => (files.length === 0 ? 0 : test(version, files)));
  return Math.max(...statuses);
}

/** All that need the broker: conformance, interoperability, access, faults. */
function testsOf({ files }: Version, filters: readonly string[]): string[] {
  const faults = readdirSync(join('test', 'faults')).map((file) => join('faults', file));
  return [...readdirSync('test'), ...faults]
    .filter((file) => /\.(?:test|fault)\.ts$/.test(file) && files.test(file))
    .filter((file) => filters.every((filter) => file.includes(filter)))
    .map((file) => join('test', file));
}

function test({ title, environment, how, mayBeMissing }: Version, files: readonly string[]): number {
  const found = environment();
  if (!found) {
    console.error(`\n*** ${title} can't be had: its tests are SKIPPED. To have it, ${how}. ***\n`);
    return mayBeMissing ? 0 : 1;
  }
  console.log(`\n=== ${title}: ${files.join(' ')}\n`);
  const args = ['vitest', 'run', '--config', 'vitest.faults.config.ts', ...files];
  const env = { ...process.env, ...found, CI: 'true' };
  return spawnSync('npx', args, { stdio: 'inherit', env }).status ?? 1;
}

process.exitCode = main(process.argv.slice(2));
