import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Master } from '../src/master.js';
import * as errors from '../src/model/errors.js';
import { Faults } from '../src/testing/faults.js';
import { TestMaster } from '../src/testing/test-master.js';

const page = (name: string) => readFileSync(join(import.meta.dirname, '..', 'docs', name), 'utf8');
const source = (name: string) => readFileSync(join(import.meta.dirname, '..', name), 'utf8');

describe('the reference', () => {
  it('tells every error class as it is', () => {
    const rows = [...page('reference.md').matchAll(/^\| `(ERR_\w+)` \| `(\w+)` \| (\w+) \| (yes|no) \|/gm)];
    const told = rows.map(([, code, name, scope, retryable]) => ({
      code,
      name,
      scope,
      retryable: retryable === 'yes',
    }));
    const details = {
      id: 'x-1',
      topic: 'a',
      timeoutMs: 1,
      outcome: 'unknown',
      retry: () => Promise.resolve(),
    };
    const real = Object.entries(errors)
      .filter(([name]) => name.endsWith('Error') && name !== 'SignalboxError' && name !== 'toError')
      .map(([name, value]) => {
        const argument = name === 'TimeoutError' ? details : name === 'QueueFullError' ? ['q'] : 'text';
        const error = new (value as unknown as new (argument: unknown) => errors.SignalboxError)(argument);
        return { code: error.code, name: error.name, scope: error.scope, retryable: error.retryable };
      });
    const byCode = (a: { code: string | undefined }, b: { code: string | undefined }) =>
      a.code!.localeCompare(b.code!);
    expect(told.sort(byCode)).toEqual(real.sort(byCode));
  });

  it('tells every option and every event', () => {
    const text = page('reference.md');
    const members = (file: string, name: string) => {
      const body = new RegExp(`export interface ${name}(?:<[^\n]*>)? {\n(.*?)\n}`, 's').exec(
        source(file),
      )![1]!;
      return [...body.matchAll(/^ {2}(?:readonly )?'?([\w-]+)'?\??:/gm)].map(([, member]) => member!);
    };
    const wanted = [
      ...['MasterOptions', 'SubscribeOptions', 'ConsumeOptions'].flatMap((name) =>
        members('src/master/options.ts', name),
      ),
      ...members('src/master/scheduling.ts', 'StatechartOptions'),
      ...members('src/master/events.ts', 'MasterEvents'),
    ];
    expect(wanted.length).toBeGreaterThan(30);
    expect(wanted.filter((member) => !text.includes(`| \`${member}\``))).toEqual([]);
  });
});

describe('the reference of calls', () => {
  const text = page('reference.md');
  const members = (file: string, name: string) =>
    new RegExp(`export interface ${name}(?:<[^\n]*>)?(?: extends [^\n]*)? {\n(.*?)\n}`, 's')
      .exec(source(file))![1]!
      .matchAll(/^ {2}(?:readonly )?'?(\w+)'?\??:/gm);

  it('tells every option of every call', () => {
    const calls = {
      publish: ['src/flow/handler.ts', 'PublishOptions'],
      consume: ['src/flow/statuses.ts', 'UntilOptions'],
      waitFor: ['src/master/wait-for.ts', 'WaitForOptions'],
      messages: ['src/master/options.ts', 'SubscribeOptions'],
      queues: ['src/master/queues.ts', 'CallOptions'],
      deleteQueue: ['src/master/queues.ts', 'DeleteQueueOptions'],
      deadLetters: ['src/master/queues.ts', 'CallOptions'],
      redrive: ['src/master/queues.ts', 'LettersOptions'],
      dropDeadLetters: ['src/master/queues.ts', 'LettersOptions'],
      stop: ['src/master/options.ts', 'StopOptions'],
    } as const;
    for (const [call, [file, name]] of Object.entries(calls)) {
      const row = new RegExp(`^\\| \`${call}\\(.*$`, 'm').exec(text)?.[0] ?? `no row for ${call}`;
      const untold = [...members(file, name)]
        .map(([, member]) => member!)
        .filter((one) => !row.includes(`${one}?`));
      expect([call, untold]).toEqual([call, []]);
    }
  });

  it('tells every call of a master', () => {
    const untold = Object.getOwnPropertyNames(Master.prototype).filter(
      (name) => name !== 'constructor' && !new RegExp(`^\\|.*\`${name}[(\`]`, 'm').test(text),
    );
    expect(untold).toEqual([]);
  });

  it('tells every warning', () => {
    const sources = readdirSync(join(import.meta.dirname, '..', 'src'), {
      recursive: true,
      encoding: 'utf8',
    });
    const codes = sources
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [
        ...source(join('src', name)).matchAll(/code: '([A-Z][A-Z_]+)'|warning\(\s*'([A-Z_]+)'/g),
      ])
      .map(([, told, said]) => (told ?? said)!);
    expect(codes.length).toBeGreaterThan(4);
    expect(codes.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
  });
});

describe('the page on testing', () => {
  it('tells every fault, and everything that a test master has of its own', () => {
    const text = page('testing.md');
    const own = ({ prototype }: { prototype: object }) =>
      Object.getOwnPropertyNames(prototype).filter((name) => !/^(constructor|untyped)$/.test(name));
    const wanted = [...own(Faults), ...own(TestMaster), 'faults', 'broker'];
    expect(wanted.length).toBeGreaterThan(15);
    expect(wanted.filter((name) => !new RegExp(`^\\|.*\`${name}[\`(].*\\|`, 'm').test(text))).toEqual(
      // Told in the text: it ends every fault.
      ['clear'],
    );
    expect(text).toContain('`clear()`');
  });
});
