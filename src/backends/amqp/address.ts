import { BrokerUrlError } from '../../model/errors.js';

/** Where one broker listens. */
export interface Address {
  /** For the client library, password included: never shown. */
  readonly url: URL;
  /** For people. */
  readonly shown: string;
}

export function parseAddress(text: string): Address {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw badUrl('It cannot be read.');
  }
  if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:')
    throw badUrl(`It begins with "${url.protocol}".`);
  if (url.hostname === '') throw badUrl('It names no host.');
  const port = url.port === '' ? '' : `:${url.port}`;
  return { url, shown: `${url.protocol}//${url.hostname}${port}${url.pathname === '/' ? '' : url.pathname}` };
}

/** As the client library takes it: it reads the heartbeat from the URL only. */
export function withHeartbeat(url: URL, heartbeatSeconds: number): string {
  const copy = new URL(url);
  copy.searchParams.set('heartbeat', String(heartbeatSeconds));
  return copy.href;
}

function badUrl(why: string): BrokerUrlError {
  return new BrokerUrlError(`A broker URL is "amqp://user:password@host:port/vhost", or amqps. ${why}`);
}
