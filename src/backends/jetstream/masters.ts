import type { Control, Known } from './control.js';
import { readMaster } from './master-name.js';
import type { Names } from './names.js';
import type { Records } from './records.js';

/** The masters of a namespace that may be there. */
export class Masters {
  readonly #records: Records;
  readonly #control: Control;
  readonly #names: Names;

  constructor(ports: { records: Records; control: Control; names: Names }) {
    this.#records = ports.records;
    this.#control = ports.control;
    this.#names = ports.names;
  }

  async sessions(): Promise<string[]> {
    return [...(await this.#noted()).keys()];
  }

  /** What all living masters know, this one included. What those that have gone had noted of themselves goes as well. */
  async known(): Promise<Known[]> {
    const records = await this.#noted();
    return this.#control.known([...records.keys()], (session) => {
      const { subject, revision } = records.get(session)!;
      this.#records.remove(subject, revision).catch(() => {});
    });
  }

  /** Resolves when what this session has subscribed is known to the servers of all others. */
  async echo(self: string): Promise<void> {
    const others = (await this.sessions()).filter((session) => session !== self);
    await this.#control.echo(others);
  }

  /** Resolves when all masters follow the lease of a queue as it is now. */
  async look(queue: string): Promise<void> {
    await this.#control.look(await this.sessions(), queue);
  }

  /** By session. */
  async #noted(): Promise<Map<string, { readonly subject: string; readonly revision: number }>> {
    const subjects = await this.#records.subjects(this.#names.masters);
    const sessions = new Map<string, { subject: string; revision: number }>();
    await Promise.all(
      subjects.map(async (subject) => {
        const found = await this.#records.get(subject);
        const session = found && readMaster(found.body)?.session;
        if (found && session !== undefined) sessions.set(session, { subject, revision: found.revision });
      }),
    );
    return sessions;
  }
}
