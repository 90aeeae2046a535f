import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from './eventually.js';
import { Laboratory } from './lab/laboratory.js';
import type { LabMaster } from './lab/lab-master.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 20_000 });

const QUEUE = 'work';
const clean = { lost: 0, duplicated: 0, reordered: 0, twoOwners: 0, leftBehind: 0 };

/** What happens to masters when their hub is killed, frozen and replaced. */
describe('file: a hub', () => {
  let lab: Laboratory;

  beforeEach(() => {
    lab = new Laboratory();
  });
  afterEach(() => lab.close());

  const consume = { queue: QUEUE, bindings: ['t.#'], effects: 'effects.work', handlerMs: 1 };
  const publish = { topic: 't.a', producer: 'p', queues: [QUEUE] };
  const handled = (master?: string) => lab.of('handled', master).length;
  const isReady = async (master: LabMaster) => (await master.call('report')).status === 'ready';

  it('that is killed under load is started again: nothing confirmed is lost, order is kept', async () => {
    const [owner, standby, third] = await lab.masters('owner', 'standby', 'third');
    await owner!.call('consume', { queue: QUEUE, bindings: ['t.#'] });
    await standby!.call('consume', { queue: QUEUE, bindings: ['t.#'] });
    await third!.call('start', { ...publish, perSecond: 2_000 });
    await eventually('messages flow', () => handled() > 500);
    const former = await lab.hub();
    await former.kill();
    await lab.nextHub(former);
    const before = handled();
    await eventually('messages flow again', () => handled() > before + 500);
    const { failed } = await third!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(failed).toEqual({});
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('that is frozen is reported; when it thaws, all of them come back', async () => {
    const [one, other] = await lab.masters('one', 'other');
    await one!.call('consume', consume);
    await other!.call('consume', consume);
    const hub = await lab.hub();
    hub.freeze();
    const tells = (name: string) =>
      lab
        .of('said', name)
        .some(({ event, detail }) => event === 'session' && /frozen/.test(String(detail['reason'])));
    await eventually('both report it', () => tells('one') && tells('other'));
    await eventually('they try and say who it is', () =>
      lab.of('said').some(({ detail }) => String(detail['reason']).includes(`process ${hub.pid}`)),
    );
    expect(lab.hubs()).toEqual([hub.pid]);
    hub.thaw();
    await eventually('both are back', async () => (await isReady(one!)) && (await isReady(other!)));
    await one!.call('publish', { ...publish, count: 20 });
    await lab.settled();
    expect(lab.hubs()).toEqual([hub.pid]);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('that is frozen is killed and replaced once, if masters are told to', async () => {
    const names = ['one', 'other', 'third'];
    const masters = await Promise.all(
      names.map((name) => lab.master(name, { ifHubFrozen: 'restart' as const, ownerTimeoutMs: 600 })),
    );
    await Promise.all(masters.map((master) => master.call('consume', { queue: QUEUE, bindings: ['t.#'] })));
    await masters[0]!.call('start', { ...publish, perSecond: 200 });
    await eventually('messages flow', () => handled() > 50);
    const former = await lab.hub();
    former.freeze();
    const hub = await lab.nextHub(former);
    const before = handled();
    await eventually('messages flow again', () => handled() > before + 50);
    await eventually('all are back', async () => (await Promise.all(masters.map(isReady))).every(Boolean));
    await masters[0]!.call('stopPublishing', { producer: 'p' });
    await lab.settled();
    expect(lab.hubs()).toEqual([hub.pid]);
    expect(await lab.verdict()).toMatchObject(clean);
  });

  it('is replaced under a master that publishes all the while', async () => {
    const [one, other] = await lab.masters('one', 'other');
    await other!.call('consume', { queue: QUEUE, bindings: ['t.#'] });
    const publishing = one!.call('publish', { ...publish, count: 2_000, perSecond: 1_000 });
    for (const part of [200, 700, 1_200]) {
      await eventually('messages flow', () => handled() > part);
      await (await lab.hub()).end();
    }
    expect(await publishing).toMatchObject({ confirmed: 2_000 });
    await lab.settled();
    expect(await lab.verdict()).toMatchObject(clean);
  });
});
