import type { Clerk } from './clerk.js';
import type { BuildMaster } from './crew.js';
import { TREE } from './schedulers.js';
import type { Screen } from './screen.js';

/**
 * Something that happens to the farm, in three acts with a `yield` between them: what must be so before; what happens, until
 * the former owner takes in no more; and the rest, until the next fault may come.
 */
export type Fault = AsyncGenerator<void, void, void>;

/** What a fault sees of the farm. */
export interface Stage {
  readonly clerk: Clerk;
  readonly screen: Screen;
  /** One more master joins: resolves when it works. */
  join(): Promise<void>;
}

export async function* join(stage: Stage): Fault {
  yield;
  const joining = stage.join();
  yield;
  await joining;
}

/** The owner of the scheduler stops properly. */
export async function* stop(stage: Stage, masters: readonly BuildMaster[]): Fault {
  const owner = await ownerWithSuccessor(stage, masters);
  yield;
  begins(stage, 'stopped', owner, 'stops');
  const stopped = owner.stop();
  await stage.clerk.until(() => !stage.clerk.standings.has(owner.name));
  yield;
  await Promise.all([stopped, failover(stage)]);
  stage.screen.note(`${owner.name} has stopped`);
}

/** A master whose process can be harmed. */
interface Mortal extends BuildMaster {
  kill(): void;
  freeze(): void;
  thaw(): void;
}

/** The owner of the scheduler dies, without a word. */
export async function* kill(stage: Stage, masters: readonly Mortal[]): Fault {
  const { clerk } = stage;
  const owner = await ownerWithSuccessor(stage, masters);
  // A build dies with it, if there is anything to build.
  const isBuilding = () => [...clerk.running.values()].includes(owner.name);
  await clerk.until(() => isBuilding() || clerk.built.size >= clerk.counts.published);
  yield;
  begins(stage, 'killed', owner, 'is killed (SIGKILL)');
  owner.kill();
  yield;
  await failover(stage);
}

/** The owner of the scheduler stands still, and goes on where it was when another has long taken over. */
export async function* freeze(stage: Stage, masters: readonly Mortal[]): Fault {
  const { clerk, screen } = stage;
  const owner = await ownerWithSuccessor(stage, masters);
  yield;
  begins(stage, 'frozen', owner, 'is frozen (SIGSTOP)');
  owner.freeze();
  yield;
  await failover(stage);
  screen.note(`${owner.name} is thawed (SIGCONT)`);
  owner.thaw();
  await clerk.until(() => clerk.standings.get(owner.name)?.status === 'standby');
  screen.note(`${owner.name} stands by`);
}

/** The hub dies, and with it every session. The owner may be the same afterwards, in a new epoch. */
export async function* killHub(
  stage: Stage,
  masters: readonly BuildMaster[],
  hub: { find(): Promise<number | undefined> },
): Fault {
  const owner = await ownerWithSuccessor(stage, masters);
  const pid = await hub.find();
  yield;
  if (pid === undefined) return;
  begins(stage, 'hub-killed', owner, `loses its hub, process ${pid} (SIGKILL)`);
  process.kill(pid, 'SIGKILL');
  yield;
  await failover(stage);
}

/** The owner of the scheduler, as soon as another master stands by; where there is none, one joins. */
async function ownerWithSuccessor<M extends BuildMaster>(stage: Stage, masters: readonly M[]): Promise<M> {
  const { clerk } = stage;
  if (masters.filter(({ isHere }) => isHere).length < 2) await stage.join();
  const find = () => masters.find(({ name, isHere }) => isHere && name === clerk.owner?.master);
  const isReady = ({ name, isHere }: M) => isHere && clerk.standings.get(name)?.status === 'standby';
  await clerk.until(() => find() !== undefined && masters.some(isReady));
  return find()!;
}

function begins({ clerk, screen }: Stage, cause: string, owner: BuildMaster, text: string): void {
  screen.note(`${owner.name}, which owns ${TREE}, ${text}`);
  clerk.failovers.begins(cause, clerk.owner!);
}

/** Resolves when the successor has taken in its first change. */
async function failover({ clerk }: Stage): Promise<void> {
  await clerk.until(() => !clerk.failovers.isUnderWay);
}
