import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { conformanceCases } from '../../src/testing/conformance.js';

const root = join(import.meta.dirname, '..', '..');

describe('signalbox/testing', () => {
  it('imports no test runner', () => {
    const folder = join(root, 'src', 'testing');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    expect(files.length).toBeGreaterThan(20);
    const runners = /from '(node:test|vitest|jest|@jest\/globals|mocha|ava|tap)'/;
    expect(files.filter((name) => runners.test(readFileSync(join(folder, name), 'utf8')))).toEqual([]);
  });

  it('runs every conformance case under the test runner of Node too', () => {
    const program = join(root, 'dist', 'test', 'testing', 'node-runner.js');
    const said = execFileSync(process.execPath, ['--test-reporter=tap', program], { encoding: 'utf8' });
    const count = (of: string) => Number(new RegExp(`^# ${of} (\\d+)$`, 'm').exec(said)![1]);
    expect([count('tests'), count('fail'), count('cancelled')]).toEqual([conformanceCases.length, 0, 0]);
    expect(count('pass') + count('skipped')).toBe(conformanceCases.length);
    expect(count('skipped')).toBeLessThan(10);
  }, 60_000);
});
