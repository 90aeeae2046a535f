import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConnectError } from '../../src/model/errors.js';
import { brokerError, withoutSecrets } from '../../src/model/secrets.js';

describe('a text', () => {
  it('loses what stands before the host of its URLs', () => {
    for (const [text, shown] of [
      ['amqp://guest:hunter2@host/vhost', 'amqp://***@host/vhost'],
      ['nats://hunter2@host:4222 and amqps://a:hunter2@b', 'nats://***@host:4222 and amqps://***@b'],
      ['failed ("amqp://u:hunter2@h"): no route', 'failed ("amqp://***@h"): no route'],
      ['amqp://u:p@ss/hunter2@h', 'amqp://***@h'],
      ['amqp://u:hunter2%40@[::1]:5672', 'amqp://***@[::1]:5672'],
    ] as const)
      expect(withoutSecrets(text)).toBe(shown);
  });

  it('without a URL that has any stays as it is', () => {
    for (const text of ['', 'amqp://host/vhost', 'mail ann@example.org', 'a // comment'])
      expect(withoutSecrets(text)).toBe(text);
  });
});

describe('an error of a broker', () => {
  const url = 'amqp://guest:hunter2@host';

  it('keeps its class and code, and loses its secrets, its causes and properties too', () => {
    const root = Object.assign(new Error(`refused by ${url}`), { url, port: 5672 });
    const error = new ConnectError(`No route to ${url}.`, {
      cause: new AggregateError([root, `no error: ${url}`], url, { cause: root }),
    });
    const shown = brokerError(error);
    expect(shown).toBe(error);
    expect(shown).toMatchObject({ code: 'ERR_CONNECT', message: 'No route to amqp://***@host.' });
    expect(root).toMatchObject({ url: 'amqp://***@host', port: 5672 });
    for (const each of [error, root, error.cause]) expect((each as Error).stack).not.toContain('hunter2');
  });

  it('may be anything at all', () => {
    const circle: Error & { self?: unknown } = new Error(url);
    circle.cause = circle.self = circle;
    const hostile = Object.defineProperty(new Error('x'), 'url', {
      enumerable: true,
      get: () => {
        throw new Error('no');
      },
    });
    for (const thrown of [circle, hostile, url, undefined, Object.freeze(new Error('frozen'))])
      expect(inspect(brokerError(thrown).message)).not.toContain('hunter2');
  });
});
