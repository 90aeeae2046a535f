import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';
import { STAGES } from './example-stages.js';

const root = join(import.meta.dirname, '..');
mkdirSync(join(root, 'dist'), { recursive: true });
// Inside the package, so that its own name leads to the built types.
const folder = mkdtempSync(join(root, 'dist', 'doc-examples-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name))].filter(
  (name) => name.endsWith('.md'),
);

interface Example {
  readonly page: string;
  readonly name: string;
  /** It is a program that tests itself. */
  readonly runs: boolean;
  readonly code: string;
}

const examples = pages.flatMap((page): Example[] => {
  const text = readFileSync(join(root, page), 'utf8');
  const marked = text.matchAll(/<!-- example: ([\w-]+)(, run)? -->\n+```ts\n(.*?)\n```/gs);
  return [...marked].map(([, name, run, code]) => ({
    page,
    name: name!,
    runs: run !== undefined,
    code: code!,
  }));
});

describe('the examples of README and docs', () => {
  it('are marked, each with a name of its own', () => {
    const names = examples.map(({ name }) => name);
    expect(names).toContain('readme');
    expect(new Set(names).size).toBe(names.length);
    for (const page of pages) {
      const text = readFileSync(join(root, page), 'utf8');
      const blocks = [...text.matchAll(/^```ts$/gm)].length;
      const marked = examples.filter((example) => example.page === page).length;
      expect(`${page}: ${marked} of ${blocks}`).toBe(`${page}: ${blocks} of ${blocks}`);
    }
  });

  it('compile against the built types', () => {
    for (const { name, code } of examples) writeFileSync(join(folder, `${name}.ts`), `${code}\nexport {};\n`);
    const config = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { noEmit: true, rootDir: root, noUnusedLocals: false },
      include: [folder],
      exclude: [],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    let said = '';
    try {
      execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8', cwd: root });
    } catch (error) {
      said = (error as { stdout: string }).stdout;
    }
    expect(said).toBe('');
  }, 120_000);

  const programOf = ({ name, code }: Example): string => {
    const { before = '', after = '', instead } = STAGES[name] ?? {};
    // What the compiler refuses, which the test before has seen, is refused when it runs too.
    const accepted = code.replaceAll(/^ *\/\/ @ts-expect-error.*\n.*\n?/gm, '');
    const own = instead ? accepted.replace(instead[0], instead[1]) : accepted;
    expect(own === accepted).toBe(instead === undefined);
    const { target, module } = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
    return [before, ts.transpileModule(own, { compilerOptions: { target, module } }).outputText, after].join(
      '\n',
    );
  };

  it('run as they are, or on a stage', () => {
    expect(Object.keys(STAGES).filter((name) => !examples.some((example) => example.name === name))).toEqual(
      [],
    );
    expect(examples.filter(({ name, runs }) => runs === name in STAGES)).toEqual([]);
    for (const example of examples) writeFileSync(join(folder, `${example.name}.js`), programOf(example));
  });

  it.each(examples)(
    'do what they say: $name',
    ({ name }) => {
      const program = join(folder, `${name}.js`);
      const words = STAGES[name]?.runner?.(program) ?? [program];
      // Its own exit status tells; what it said is in the error.
      execFileSync(process.execPath, words, { encoding: 'utf8', cwd: folder, timeout: 60_000 });
    },
    60_000,
  );
});
