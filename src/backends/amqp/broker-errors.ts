import {
  AccessError,
  ConnectError,
  QueueNotFoundError,
  QueueSettingsError,
  SignalboxError,
  toError,
} from '../../model/errors.js';

/** Reply codes of AMQP 0-9-1. */
export const Reply = {
  accessRefused: 403,
  notFound: 404,
  locked: 405,
  preconditionFailed: 406,
  notAllowed: 530,
} as const;

/** The code that the broker gave, if it was the broker. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'number') return error.code;
  const digits = /(?:server|closed|close): (\d{3})\b/i.exec(error.message)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

const CERTIFICATE = /^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;

/** What the client library says of a refusal after the password was accepted: it keeps the broker's reason to itself. */
const NOT_OPENED = /Expected ConnectionOpenOk; got <ConnectionClose/;

/** Why a connection was not established, as an error that says whether trying again may help. */
export function connectError(thrown: unknown, shown: string, wasThere = false): Error {
  if (thrown instanceof SignalboxError) return thrown;
  const error = toError(thrown);
  // One that was opened before may be down with its node.
  if (NOT_OPENED.test(error.message) && !wasThere)
    return new AccessError(
      `${shown} does not open this vhost: there is none of that name, or this user may not use it, or has too many connections.`,
      { cause: error },
    );
  const code = replyCode(error);
  if (code === Reply.accessRefused || code === Reply.notAllowed)
    return new AccessError(`${shown} refuses this user, password, vhost or permission: ${reasonIn(error)}`, {
      cause: error,
    });
  const { code: name = '' } = error as { code?: unknown };
  if (typeof name === 'string' && CERTIFICATE.test(name))
    return new AccessError(`${shown} has a certificate that is not trusted: ${error.message}`, {
      cause: error,
    });
  return new ConnectError(`${shown} was not reached: ${error.message || String(name)}`, { cause: error });
}

/** What an operation on a queue was refused with, in our words. */
export function queueError(thrown: unknown, queue: string): Error {
  const error = toError(thrown);
  switch (replyCode(error)) {
    case Reply.notFound:
      return notFound(queue);
    case Reply.accessRefused:
      return accessError(`something about queue "${queue}"`, error);
    case Reply.preconditionFailed:
      return settingsError(error, queue);
    default:
      return error;
  }
}

/** Whether the broker has said no to a publish; when the channel ends first, its answer is not known. */
export function isNack(error: unknown): boolean {
  return error instanceof Error && error.message === 'message nacked';
}

/** Somebody has deleted an exchange of ours. */
export function isExchangeGone(error: unknown): boolean {
  return replyCode(error) === Reply.notFound && /no exchange/.test((error as Error).message);
}

/** What an operation on an exchange was refused with; a missing one stays as it is. */
export function exchangeError(thrown: unknown): Error {
  const error = toError(thrown);
  const [, exchange = ''] = /exchange '([^']+)'/.exec(error.message) ?? [];
  const [, argument = '', received = '', current = ''] = differenceIn(error);
  switch (replyCode(error)) {
    case Reply.accessRefused:
      return accessError('something about an exchange', error);
    case Reply.preconditionFailed:
      return new QueueSettingsError(
        `Exchange "${exchange}" exists with other settings (${argument}: it has ${plainValue(current)}, asked for ${plainValue(received)}). ` +
          'Delete it, or use another namespace.',
        { cause: error },
      );
    default:
      return error;
  }
}

/** A permission that is missing: `what` is refused. */
export function accessError(what: string, error: Error): AccessError {
  return new AccessError(`The broker refuses this user ${what}: ${reasonIn(error)}`, { cause: error });
}

export function notFound(queue: string): QueueNotFoundError {
  return new QueueNotFoundError(`There is no queue "${queue}". It was never declared, or it was deleted.`);
}

/** The settings as users know them, by the broker's argument. */
const SETTINGS: Readonly<Record<string, string>> = {
  'x-single-active-consumer': 'ownership',
  'x-max-length': 'limit',
  'x-overflow': 'limit',
  'x-expires': 'expiresMs',
  'x-queue-type': 'queueType',
  'x-delivery-limit': 'queueType',
};

/** The broker names the first difference that it finds. */
function settingsError(error: Error, queue: string): Error {
  const [, argument = '', received = '', current = ''] = differenceIn(error);
  const setting = SETTINGS[argument];
  if (setting === undefined)
    return new QueueSettingsError(`Queue "${queue}" cannot be declared: ${reasonIn(error)}`, {
      cause: error,
    });
  return new QueueSettingsError(
    `Queue "${queue}" exists with other settings (${setting}: it has ${plainValue(current)}, asked for ${plainValue(received)}). ` +
      'Delete it or pick another name.',
    { cause: error },
  );
}

function differenceIn(error: Error): readonly string[] {
  return /inequivalent arg '([^']+)'.*?received (.*?) but current is (.*?)(?:"|$)/.exec(error.message) ?? [];
}

/** "the value '10' of type 'signedint'" is 10. */
function plainValue(text: string): string {
  return /the value '(.*?)' of type/.exec(text)?.[1] ?? text.replaceAll("'", '');
}

function reasonIn(error: Error): string {
  return /with message "(.*)"$/s.exec(error.message)?.[1] ?? error.message;
}
