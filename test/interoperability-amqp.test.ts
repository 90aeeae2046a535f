import { connect, type ConsumeMessage } from 'amqplib';
import { CloudEvent, HTTP } from 'cloudevents';
import { describe, expect, it } from 'vitest';
import { createMaster, type Message } from '../src/index.js';
import { rabbit } from './brokers/rabbit.js';
import { eventually } from './eventually.js';

const broker = await rabbit();

describe.skipIf(!broker)('other clients of the same exchange', () => {
  const url = broker?.url ?? '';

  it('read what signalbox publishes, as CloudEvents', async () => {
    await using master = await createMaster({ name: 'publisher', broker: url, namespace: 'interop-read' });
    const connection = await connect(url);
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'interop-read.events', 'builds.*.started');
    const received: ConsumeMessage[] = [];
    await channel.consume(queue, (message) => message && received.push(message), { noAck: true });
    const at = new Date();
    const { id } = await master.publish(
      'builds.17.started',
      { at, name: 'grüße' },
      { headers: { 'x-a': 'b' } },
    );
    await eventually('the plain client has it', () => received.length === 1);
    const { content, fields, properties } = received[0]!;
    expect(fields.routingKey).toBe('builds.17.started');
    const headers = properties.headers as Record<string, string>;
    expect(headers['x-a']).toBe('b');
    // The SDK knows the HTTP binding, whose attributes have another prefix and are otherwise the same.
    const attributes: Record<string, string> = {};
    for (const [name, value] of Object.entries(headers))
      if (name.startsWith('cloudEvents_')) attributes[`ce-${name.slice('cloudEvents_'.length)}`] = value;
    const event = HTTP.toEvent({
      headers: { ...attributes, 'content-type': String(properties.contentType) },
      body: content.toString(),
    }) as CloudEvent<{ at: string; name: string }>;
    expect(event.validate()).toBe(true);
    expect(event).toMatchObject({
      id,
      type: 'builds.17.started',
      source: 'signalbox:interop-read/publisher',
    });
    expect(event.data).toEqual({ at: at.toISOString(), name: 'grüße' });
    await connection.close();
  });

  it('publish what signalbox reads: with CloudEvents attributes, with the other prefix, and without any', async () => {
    await using master = await createMaster({ name: 'reader', broker: url, namespace: 'interop-write' });
    const transient: Message[] = [];
    const durable: Message[] = [];
    await master.subscribe('foreign.#', (message) => void transient.push(message));
    await master.consume('reader', { bindings: ['foreign.#'] }, (message) => void durable.push(message));
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    const event = new CloudEvent({
      id: 'of-the-sdk',
      type: 'foreign.sdk',
      source: 'https://example.com/ci',
      time: '2026-01-02T03:04:05.678Z',
      data: { some: 'data' },
    });
    const { headers, body } = HTTP.binary(event);
    for (const prefix of ['cloudEvents_', 'cloudEvents:']) {
      const attributes = Object.entries(headers).flatMap(([name, value]) =>
        name.startsWith('ce-') ? [[prefix + name.slice(3), value]] : [],
      );
      channel.publish('interop-write.events', event.type, Buffer.from(String(body)), {
        headers: Object.fromEntries(attributes) as object,
        contentType: 'application/json',
      });
    }
    channel.publish('interop-write.events', 'foreign.plain', Buffer.from('[1, 2]'), {
      messageId: 'a plain one',
    });
    await channel.waitForConfirms();
    for (const received of [transient, durable]) {
      await eventually('all have come', () => received.length === 3);
      for (const message of received.slice(0, 2)) {
        expect(message).toMatchObject({
          id: 'of-the-sdk',
          topic: 'foreign.sdk',
          source: 'https://example.com/ci',
        });
        expect(message.time.toISOString()).toBe('2026-01-02T03:04:05.678Z');
        expect(message.data).toEqual({ some: 'data' });
      }
      expect(received[2]).toMatchObject({ id: 'a plain one', topic: 'foreign.plain', data: [1, 2] });
    }
    await connection.close();
    await master.deleteQueue('reader', { whileInUse: true });
  });
});
