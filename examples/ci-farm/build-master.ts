import { StoppedError } from 'signalbox';
import { EvidenceWriter } from './evidence.js';
import type { Answer, Orders, Word } from './master-process.js';
import { Processes } from './processes.js';
import type { Farm, FarmRecord } from './records.js';
import { hire, work } from './roles.js';

/** The program of a build master in a process of its own: whoever starts it says what to do, and when to stop. */

function tell(answer: Answer): void {
  // Whoever has died meanwhile is noticed by the end of the channel.
  if (process.connected) process.send!(answer, undefined, undefined, () => {});
}

function run({ name, broker, namespace, evidence, ...orders }: Orders): void {
  const file = new EvidenceWriter(evidence);
  const report = (record: FarmRecord): void => {
    file.write(record);
    tell('wrote');
  };
  const processes = new Processes('together');
  const farm: Farm = { ...orders, processes, report };
  const hiring = hire(name, { broker, namespace }, farm);
  let hasStopped = false;

  async function begin(): Promise<void> {
    await work(await hiring, farm);
    tell('works');
  }

  async function stop(): Promise<void> {
    const stopped = (await hiring).stop();
    report({ type: 'leaves', master: name });
    await stopped;
    processes.close();
    hasStopped = true;
    if (process.connected) process.disconnect();
  }

  process.on('message', (word: Word) => {
    if (word === 'stop') void stop();
    else processes.close();
  });
  // Whoever started it has died: nobody will tell it to stop, nor end what its builds have left in this process's group.
  process.on('disconnect', () => {
    if (hasStopped) return;
    processes.close();
    void stop().finally(() => process.kill(0, 'SIGKILL'));
  });
  begin().catch((error: unknown) => {
    // It was told to stop before it had begun.
    if (!(error instanceof StoppedError)) throw error;
  });
}

process.once('message', run);
