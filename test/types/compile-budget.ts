/**
 * What typed messages cost the compiler: 200 entries, 200 publishes and 200 subscribes, against the same calls of a master
 * without a catalogue. Part of `npm run check`; needs the build. Fails above the budget, in seconds of processor time.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';

const BUDGET_SECONDS = 5;
const ENTRIES = 200;
/** Other programs, and a compiler that is itself not yet compiled, make it slower; nothing makes it faster. */
const RUNS = 3;

const root = join(import.meta.dirname, '..', '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'signalbox-types-'));

/** Where the words of the n-th key differ decides how well an index by words can tell them apart. */
const shapes: Record<string, (n: number) => readonly [string, string, string]> = {
  'twenty first words': (n) => [`area${n % 20}`, ':id', `step${Math.floor(n / 20)}`],
  'one first word': (n) => ['builds', ':id', `step${n}`],
  'a parameter first': (n) => [':tenant', `area${n % 20}`, `step${n}`],
};

type Shape = (typeof shapes)[string];

function program(shape: Shape, isTyped: boolean): string {
  const numbers = Array.from({ length: ENTRIES }, (_, n) => n);
  const keyOf = (n: number) => `${shape(n).join('.')}.:attempt.done`;
  const filled = (text: string, word: string) => text.replace(/:\w+/g, word);
  const topic = (n: number) => (n % 2 ? `'${filled(keyOf(n), 'x')}'` : `\`${filled(keyOf(n), '${id}')}\``);
  const pattern = (n: number) => filled(n % 2 ? keyOf(n) : `${shape(n).join('.')}.#`, '*');
  const used = (n: number) => (isTyped ? `[data.field${n}, params.attempt, key]` : '[data, params, key]');
  const entry = (n: number) =>
    `'${keyOf(n)}': type<{ field${n}: number; list: { at: Date; name: string }[] }>(),`;
  return [
    `import { createMaster, defineMessages, type } from 'signalbox';`,
    ...(isTyped ? ['const messages = defineMessages({', ...numbers.map(entry), '});'] : []),
    `const master = await createMaster({ name: 'a', broker: 'memory:'${isTyped ? ', messages' : ''} });`,
    'declare const id: string;',
    ...numbers.map((n) => `await master.publish(${topic(n)}, { field${n}: ${n}, list: [] });`),
    ...numbers.map((n) => `await master.subscribe('${pattern(n)}', ({ data, params, key }) => ${used(n)});`),
    'void [defineMessages, type];',
  ].join('\n');
}

/** Seconds of processor time that the compiler takes to check a program. */
function checkTime(text: string): number {
  const file = join(folder, 'program.mts');
  writeFileSync(file, text);
  const program = ts.createProgram([file], {
    ...{ target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, strict: true, noEmit: true },
    ...{ skipLibCheck: true, exactOptionalPropertyTypes: true },
    ...{ types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
    paths: { signalbox: [join(root, 'dist/src/index.d.ts')] },
  });
  program.getTypeChecker();
  const before = process.cpuUsage();
  const wrong = program.getSemanticDiagnostics(program.getSourceFile(file));
  const { user, system } = process.cpuUsage(before);
  for (const { messageText } of wrong) throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'));
  return (user + system) / 1e6;
}

function fastest(text: string): number {
  return Math.min(...Array.from({ length: RUNS }, () => checkTime(text)));
}

try {
  for (const [name, shape] of Object.entries(shapes)) {
    const without = fastest(program(shape, false));
    const added = fastest(program(shape, true)) - without;
    console.log(
      `typed messages, ${ENTRIES} entries, ${name}: ${added.toFixed(2)} s more than ${without.toFixed(2)} s`,
    );
    if (added <= BUDGET_SECONDS) continue;
    console.error(`That is more than the budget of ${BUDGET_SECONDS} s.`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
