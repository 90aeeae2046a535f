import { BrokerUrlError } from '../../model/errors.js';

/** Where the servers of one NATS listen, and how we are let in. */
export interface Address {
  /** `host:port` of each server. */
  readonly servers: readonly string[];
  readonly isTls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** A user without a password is a token. */
  readonly token: string | undefined;
  /** For people. */
  readonly shown: string;
}

const HELP =
  'A broker URL is "nats://user:password@host:port", "nats://token@host:port", or tls; several servers are separated by commas.';

/** One URL, several in a list, or several in one text, separated by commas. All are of one NATS. */
export function parseAddress(urls: string | readonly string[]): Address {
  const texts = (typeof urls === 'string' ? [urls] : urls).flatMap((text) => text.split(','));
  const parsed: URL[] = [];
  for (const text of texts) parsed.push(parseUrl(text.trim(), parsed[0]));
  const first = parsed[0];
  if (!first) throw new BrokerUrlError('A list of broker URLs holds at least one.');
  if (parsed.some(({ protocol }) => protocol !== first.protocol))
    throw badUrl('Some are TLS, and some are not.');
  const withUser = parsed.find(({ username }) => username !== '');
  const user = withUser && decodeURIComponent(withUser.username);
  const password = withUser && withUser.password !== '' ? decodeURIComponent(withUser.password) : undefined;
  const servers = parsed.map(({ hostname, port }) => `${hostname}:${port === '' ? '4222' : port}`);
  return {
    servers,
    isTls: first.protocol === 'tls:',
    user: password === undefined ? undefined : user,
    password,
    token: password === undefined ? user : undefined,
    shown: servers.map((server) => `${first.protocol}//${server}`).join(', '),
  };
}

/** Of `host:port` behind a comma the scheme is that of the first one. */
function parseUrl(text: string, first: URL | undefined): URL {
  let url;
  try {
    url = new URL(first && !text.includes('//') ? `${first.protocol}//${text}` : text);
  } catch {
    throw badUrl('It cannot be read.');
  }
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:') throw badUrl(`It begins with "${url.protocol}".`);
  if (url.hostname === '') throw badUrl('It names no host.');
  if ((url.pathname !== '' && url.pathname !== '/') || url.search !== '')
    throw badUrl('It has a path or a query.');
  return url;
}

function badUrl(why: string): BrokerUrlError {
  return new BrokerUrlError(`${HELP} ${why}`);
}
