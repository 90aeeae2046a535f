import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/*
 * Servers of other releases of Debian than this machine's, beside its own: nothing of them is installed, they lie in a folder
 * of the user's cache.
 */

const FOLDER = join(homedir(), '.cache', 'signalbox-tests');

/** A whole system in a folder, with the packages of these names. Undefined if it can't be had. */
export interface System {
  /** Where the system has its temporary files; the same path inside and outside. */
  readonly temporary: string;
  /** A program outside that runs that one inside. */
  program(path: string): string;
}

/** Unpacked once: about 400 MB. Needs root and debootstrap. */
export function wholeSystem(release: string, packages: readonly string[]): System | undefined {
  const folder = join(FOLDER, release);
  const programs = join(folder, 'signalbox');
  if (!existsSync(programs) && !bootstrap(release, packages, folder)) return undefined;
  mkdirSync(programs, { recursive: true });
  return {
    temporary: join(folder, 'tmp'),
    program: (path) => {
      const outside = join(programs, path.slice(path.lastIndexOf('/') + 1));
      writeFileSync(outside, `#!/bin/sh\nexec chroot ${folder} ${path} "$@"\n`);
      chmodSync(outside, 0o755);
      return outside;
    },
  };
}

function bootstrap(release: string, packages: readonly string[], folder: string): boolean {
  const mirror = debianMirror();
  if (process.getuid?.() !== 0 || !existsSync('/usr/sbin/debootstrap') || mirror === undefined) return false;
  console.log(`Unpacking ${packages.join(', ')} of Debian ${release} into ${folder}: about 400 MB, once.`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const options = ['--variant=minbase', `--include=${packages.join(',')}`, release, folder, mirror];
  if (spawnSync('/usr/sbin/debootstrap', options, { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0)
    return false;
  // A path in the folder means the same inside and outside.
  mkdirSync(join(folder, dirname(folder)), { recursive: true });
  symlinkSync('/', join(folder, folder));
  return true;
}

/**
 * One package, for a program that needs nothing else; the folder that it was unpacked into. Of a release that moves the
 * newest one each time, or the last one that could be had. Undefined if there is none.
 */
export function onePackage(release: string, name: string, options: { moves: boolean }): string | undefined {
  const folder = join(FOLDER, `${release}-${name}`);
  if (options.moves || !existsSync(folder)) download(release, name, folder);
  return existsSync(folder) ? folder : undefined;
}

function download(release: string, name: string, folder: string): void {
  const mirror = debianMirror();
  if (mirror === undefined) return;
  console.log(`Downloading ${name} of Debian ${release} into ${folder}.`);
  const work = `${folder}.part`;
  rmSync(work, { recursive: true, force: true });
  for (const part of ['lists/partial', 'cache/archives/partial', 'root'])
    mkdirSync(join(work, part), { recursive: true });
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(join(work, 'sources.list'), `deb [signed-by=${keys}] ${mirror} ${release} main\n`);
  const settings = [
    `Dir::Etc::SourceList=${join(work, 'sources.list')}`,
    'Dir::Etc::SourceParts=-',
    `Dir::State::Lists=${join(work, 'lists')}`,
    `Dir::Cache=${join(work, 'cache')}`,
    'Acquire::Languages=none',
    'APT::Sandbox::User=root',
  ].flatMap((setting) => ['-o', setting]);
  const run = (program: string, ...words: readonly string[]) =>
    spawnSync(program, words, { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  const get = (...words: string[]) => run('apt-get', '-qq', ...settings, ...words);
  if (get('update') && get('download', name)) {
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
    if (archive && run('dpkg-deb', '-x', archive, 'root')) {
      rmSync(folder, { recursive: true, force: true });
      renameSync(join(work, 'root'), folder);
    }
  }
  rmSync(work, { recursive: true, force: true });
}

/** Where this machine has its own packages from. */
function debianMirror(): string | undefined {
  if (!existsSync('/usr/bin/apt-get')) return undefined;
  const told = execFileSync('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Identifier: Packages'], {
    encoding: 'utf8',
  });
  return told.split('\n').find((uri) => /\/debian\/?$/.test(uri));
}
