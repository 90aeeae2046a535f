import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

describe('the examples', () => {
  it.each(['docs/typed-messages.md'])(
    'of %s compile, in the order of the page',
    (page) => {
      const text = readFileSync(join(root, page), 'utf8');
      const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
      expect(blocks.length).toBeGreaterThan(3);
      const file = join(root, 'test', 'example-of-the-docs.mts');
      const options: ts.CompilerOptions = {
        ...{ target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, strict: true, noEmit: true },
        ...{ skipLibCheck: true, exactOptionalPropertyTypes: true, types: ['node'] },
        paths: { signalbox: [join(root, 'src/index.ts')] },
      };
      const host = ts.createCompilerHost(options);
      const { fileExists, readFile, getSourceFile } = host;
      const code = blocks.join('\n');
      host.fileExists = (name) => name === file || fileExists(name);
      host.readFile = (name) => (name === file ? code : readFile(name));
      host.getSourceFile = (name, language) =>
        name === file ? ts.createSourceFile(name, code, language) : getSourceFile(name, language);
      const program = ts.createProgram([file], options, host);
      const wrong = program
        .getSemanticDiagnostics(program.getSourceFile(file))
        .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
      expect(wrong).toEqual([]);
    },
    120_000,
  );
});
