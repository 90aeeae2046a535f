import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const files = ['src', 'actors'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);

/** Every import of a file: of our own as a path from the root, of others as it is written. */
function importsOf(file: string): { from: string; typesOnly: boolean }[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';/gms);
  return [...found].map(([, types, from]) => ({
    from: from!.startsWith('.') ? relative(root, join(root, dirname(file), from!)) : from!,
    typesOnly: types !== undefined,
  }));
}

/** The layers from the bottom to the top; a file may import from its own and from those its layer names. */
const layers: { at: RegExp; mayImport: RegExp[] }[] = [
  { at: /^src\/model\//, mayImport: [] },
  { at: /^src\/folder\//, mayImport: [/^src\/model\//] },
  { at: /^src\/backend\.ts$/, mayImport: [/^src\/model\//] },
  { at: /^src\/backends\/hub\//, mayImport: [/^src\/model\//, /^src\/backend\.js$/] },
  {
    at: /^src\/backends\/(memory|file)\//,
    mayImport: [/^src\/(model|folder)\//, /^src\/backend\.js$/, /^src\/backends\/hub\//],
  },
  { at: /^src\/backends\/broker\//, mayImport: [/^src\/model\//, /^src\/backend\.js$/] },
  {
    at: /^src\/backends\/(amqp|jetstream)\//,
    mayImport: [/^src\/model\//, /^src\/backend\.js$/, /^src\/backends\/broker\//],
  },
  { at: /^src\/spool\//, mayImport: [/^src\/(model|folder)\//, /^src\/flow\/(spool|outgoing)\.js$/] },
  { at: /^src\/flow\//, mayImport: [/^src\/model\//, /^src\/backend\.js$/] },
  { at: /^src\/schedule\//, mayImport: [/^src\/(model|flow)\//, /^src\/backend\.js$/] },
  { at: /^actors\//, mayImport: [/^src\/model\//, /^src\/backend\.js$/] },
  { at: /^src\/contract\.ts$/, mayImport: [/^src\/model\//, /^src\/backend\.js$/] },
  { at: /^src\/cli\.ts$/, mayImport: [/^src\/(model|backends)\//] },
  { at: /^src\/testing\//, mayImport: [/^src\//] },
  { at: /^src\/(master|index)(\.ts$|\/)/, mayImport: [/^src\//, /^actors\//] },
];

describe('imports', () => {
  it('flow down, and every file has its layer', () => {
    const wrong: string[] = [];
    for (const file of files) {
      const layer = layers.find(({ at }) => at.test(file));
      if (!layer) wrong.push(`${file} has no layer`);
      else
        for (const { from } of importsOf(file)) {
          if (!/^(src|actors)\//.test(from)) continue;
          if (
            !layer.at.test(from.replace(/\.js$/, '.ts')) &&
            !layer.mayImport.some((allowed) => allowed.test(from))
          )
            wrong.push(`${file} imports ${from}`);
        }
    }
    expect(wrong).toEqual([]);
  });

  it('take values of XState in actors only', () => {
    const wrong = files.filter(
      (file) =>
        !file.startsWith('actors') &&
        importsOf(file).some(({ from, typesOnly }) => /^xstate($|\/)/.test(from) && !typesOnly),
    );
    expect(wrong).toEqual([]);
  });

  it('take a spool, and LMDB with it, only when one is asked for', () => {
    const wrong = files.filter(
      (file) =>
        !file.startsWith('src/spool/') &&
        importsOf(file).some(({ from, typesOnly }) => from.startsWith('src/spool/') && !typesOnly),
    );
    expect(wrong).toEqual([]);
  });

  it('never go in a circle', () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter(({ typesOnly }) => !typesOnly)
          .map(({ from }) => from.replace(/\.js$/, '.ts')),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: string[]): string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
      if (done.has(file)) return undefined;
      done.add(file);
      for (const next of graph.get(file) ?? []) {
        const circle = visit(next, [...path, file]);
        if (circle) return circle;
      }
      return undefined;
    };
    for (const file of files) expect(visit(file, [])).toBeUndefined();
  });
});
