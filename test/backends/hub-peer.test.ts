import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it } from 'vitest';
import { FrameReader, FrameWriter, type Word } from '../../src/backends/file/frames.js';
import { HubPeer } from '../../src/backends/file/hub-peer.js';
import { FRAME_MAX_BYTES, Said, Told } from '../../src/backends/file/words.js';
import { eventually } from '../eventually.js';
import { messageOf, newFolder, openLab } from './store-lab.js';

describe('a master that reads more slowly than others publish', () => {
  it('hears how many messages it missed where they are missing', { timeout: 30_000 }, async () => {
    const lab = await openLab(newFolder());
    const server = createServer();
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const path = `${newFolder()}.sock`;
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const client = connect(path);
    const heard: Word[] = [];
    const reader = new FrameReader(FRAME_MAX_BYTES);
    client.on('data', (chunk) => reader.read(chunk, (words) => heard.push(...words)));
    const socket = await accepted;
    const peer = new HubPeer(lab.session(), new FrameWriter(socket));
    socket.on('drain', () => peer.caughtUp());
    peer.hear([[Said.call, 1, 'listen', 1] as Word]);
    peer.hear([[Said.call, 2, 'bind', 1, '#'] as Word]);
    await eventually('it listens', () => heard.length === 2);

    let published = 0;
    const told = () => heard.filter(([kind]) => kind === Told.missed).length;
    const text = 'x'.repeat(100_000);
    // It reads all the time, and others publish more: there is always something that waits for it.
    client.on('data', () => {
      client.pause();
      setImmediate(() => client.resume());
    });
    for (let bursts = 0; bursts < 400; bursts++) {
      for (let count = 0; count < 20; count++) lab.hub.publish(messageOf(`id-${published++}-`, 'a', text));
      await turn();
    }
    await eventually('it has read all', () => socket.writableLength === 0);
    lab.hub.publish(messageOf(`id-${published++}-`, 'a', text));
    await eventually('the last one comes', () => idOf(heard.at(-1)!) === published - 1);

    let next = 0;
    for (const word of heard.slice(2)) {
      if (word[0] === Told.missed) next += word[2] as number;
      else assert.equal(idOf(word), next++);
    }
    assert.equal(next, published);
    assert.ok(told() >= 1);
    client.destroy();
    server.close();
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function idOf(word: Word): number {
  const bytes = word.find((part) => part instanceof Uint8Array) as Uint8Array;
  return bytes ? Number(/id-(\d+)-/.exec(Buffer.from(bytes).toString('latin1'))?.[1]) : -1;
}
