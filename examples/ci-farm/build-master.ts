import { createMaster, StoppedError } from 'signalbox';
import { EvidenceWriter } from './evidence.js';
import type { Answer, Orders, Word } from './master-process.js';
import { Processes } from './processes.js';
import { work, type FarmRecord } from './roles.js';

/** The program of a build master in a process of its own: whoever starts it says what to do, and when to stop. */

function tell(answer: Answer): void {
  if (process.connected) process.send!(answer);
}

function run({ name, broker, namespace, evidence, ...orders }: Orders): void {
  const file = new EvidenceWriter(evidence);
  const report = (record: FarmRecord): void => {
    file.write(record);
    tell('wrote');
  };
  const processes = new Processes('together');
  const creating = createMaster({ name, broker, namespace });

  async function begin(): Promise<void> {
    await work(await creating, { ...orders, processes, report });
    tell('works');
  }

  async function stop(): Promise<void> {
    const stopped = (await creating).stop();
    report({ type: 'leaves', master: name });
    await stopped;
    processes.close();
    if (process.connected) process.disconnect();
  }

  process.on('message', (word: Word) => {
    if (word === 'stop') void stop();
    else processes.close();
  });
  // Whoever started it is not there any more: nobody will say so.
  process.on('disconnect', () => {
    processes.close();
    void stop();
  });
  begin().catch((error: unknown) => {
    // It was told to stop before it had begun.
    if (!(error instanceof StoppedError)) throw error;
  });
}

process.once('message', run);
