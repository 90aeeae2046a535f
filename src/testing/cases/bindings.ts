import { casesOf } from './case.js';
import { numbers } from './records.js';

/** The binding set of a durable queue, which its owner keeps. */
export const bindingCases = casesOf('ownership', {
  'makes the bindings of its queue those that it is given': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const owner = await master.own(queue, ['a.*', 'b.*']);
    const { sink } = await master.consume(queue, owner);
    await master.publish('a.x', 1);
    await owner.ownership.bind(['b.*', 'c.*', 'c.*']);
    for (const [data, topic] of ['a.x', 'b.x', 'c.x'].entries()) await master.publish(topic, data + 2);
    await owner.ownership.bind([]);
    await master.publish('b.x', 5);
    await owner.ownership.bind(['end']);
    await master.publish('end', 'end');
    await lab.gets(sink, [1, 3, 4, 'end']);
  },

  'keeps what the queue has accepted when bindings change, and adds nothing older': async (lab) => {
    const master = await lab.connect('master');
    const queue = lab.unique('queue');
    await master.declare(queue);
    const owner = await master.own(queue, ['a']);
    await master.publish('a', 'a1');
    await master.publish('b', 'b1');
    await owner.ownership.bind(['a', 'b']);
    await owner.ownership.bind(['b']);
    await master.publish('a', 'a2');
    await master.publish('b', 'b2');
    await lab.gets((await master.consume(queue, owner)).sink, ['a1', 'b2']);
  },

  'misses nothing, and takes nothing twice, of what old and new bindings match': async (lab) => {
    const [owner, publisher] = [await lab.connect('owner'), await lab.connect('publisher')];
    const queue = lab.unique('queue');
    await owner.declare(queue);
    const work = await owner.work(queue, { patterns: ['a.*'], prefetch: 1_000 });
    let published = 0;
    let done = false;
    const publishing = (async () => {
      while (!done && published < 900) await publisher.publish('a.b', ++published);
    })();
    for (let round = 0; round < 5; round++) {
      await work.ownership.bind(['*.b', `x.${round}`]);
      await work.ownership.bind(['a.*']);
    }
    done = true;
    await publishing;
    await publisher.publish('a.b', 'end');
    await lab.gets(work.sink, [...numbers(1, published), 'end']);
  },

  'leaves the bindings to its successor until that one binds': async (lab) => {
    const [before, after] = [await lab.connect('before'), await lab.connect('after')];
    const queue = lab.unique('queue');
    await before.declare(queue);
    await before.own(queue, ['a.*', 'b.*']);
    const standby = await after.stand(queue);
    await before.crash();
    const ownership = await after.granted(standby.told);
    await after.publish('a.b', 1);
    await ownership.bind(['b.*']);
    await after.publish('a.b', 'unbound');
    await after.publish('b.b', 2);
    await lab.gets((await after.consume(queue, { ownership })).sink, [1, 2]);
  },
});
