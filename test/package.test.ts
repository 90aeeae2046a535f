import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'signalbox-pack-'));
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: folder, encoding: 'utf8' });

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>;
    dependencies?: Record<string, string>;
  };

  it('installs in an empty folder, and every entry can be imported', () => {
    const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
    expect(files.map(({ path }) => path).filter((path) => /^dist\/(test|bench|examples)/.test(path))).toEqual(
      [],
    );

    writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "type": "module", "private": true }');
    const xstate = join(root, 'node_modules', 'xstate');
    run('npm', 'install', '--no-audit', '--no-fund', '--install-links=false', `./${filename}`, xstate);

    const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');
    for (const entry of entries) {
      const name = join('signalbox', entry);
      const names = run(
        'node',
        '-e',
        `import('${name}').then((entry) => console.log(Object.keys(entry).length))`,
      );
      expect(Number(names), `${name} exports something`).toBeGreaterThan(0);
    }
  }, 120_000);
});
