import { resolve } from 'node:path';
import { BrokerUrlError, FolderError } from 'signalbox';
import { CiFarm, Interrupted } from './farm.js';
import { openRepository } from './history.js';
import { HELP, UsageError, parseOptions, type Options } from './options.js';
import { Processes, findProgram } from './processes.js';
import { createScreen, painter } from './screen.js';
import { isClean, summary, toJson } from './summary.js';

/** From dist/examples/ci-farm, where this file runs. */
const CLONE = resolve(import.meta.dirname, '../../..');

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options) return run(options);
  process.stdout.write(HELP);
  return 0;
}

/** Returns the exit status. */
async function run(options: Options): Promise<number> {
  const processes = new Processes('apart');
  const path = resolve(options.repository ?? CLONE);
  const repository = await openRepository(path, processes);
  const [program] = options.command;
  if (!findProgram(program!, path))
    throw new UsageError(`There is no command ${program}: --command names it.`);

  const stream = options.json ? process.stderr : process.stdout;
  const screen = createScreen(stream);
  let interruptedBy: NodeJS.Signals | undefined;
  const interrupt = (signal: NodeJS.Signals) => {
    if (interruptedBy) {
      farm.abandon();
      process.exit(130);
    }
    interruptedBy = signal;
    screen.note('Stopping properly; once more to end at once.');
    farm.interrupt();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  const farm = new CiFarm(options, repository, processes, screen);
  try {
    const outcome = await farm.run();
    screen.end();
    screen.print(summary(outcome, painter(stream)));
    if (options.json) process.stdout.write(`${toJson(outcome)}\n`);
    // What is left would keep this process alive.
    if (outcome.leftBehind.length > 0) await endAtOnce(1);
    return isClean(outcome) ? 0 : 1;
  } catch (error) {
    screen.end();
    if (error instanceof BrokerUrlError || error instanceof FolderError)
      throw new UsageError(`--broker: ${error.message}`);
    if (!(error instanceof Interrupted)) throw error;
    screen.print('Stopped before the end.');
    return interruptedBy === 'SIGTERM' ? 143 : 130;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function endAtOnce(status: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr])
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  process.exit(status);
}

try {
  process.exitCode = await main();
} catch (error) {
  const [line] = (error as Error).message.split('\n');
  process.stderr.write(`ci-farm: ${line}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
