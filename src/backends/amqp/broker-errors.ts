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

/** Why a connection was not established, as an error that says whether trying again may help. */
export function connectError(thrown: unknown, shown: string): Error {
  if (thrown instanceof SignalboxError) return thrown;
  const error = toError(thrown);
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
      return new AccessError(
        `The broker refuses this user something about queue "${queue}": ${reasonIn(error)}`,
        {
          cause: error,
        },
      );
    case Reply.preconditionFailed:
      return settingsError(error, queue);
    default:
      return error;
  }
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
  const [, argument = '', received = '', current = ''] =
    /inequivalent arg '([^']+)'.*?received (.*?) but current is (.*?)(?:"|$)/.exec(error.message) ?? [];
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

/** "the value '10' of type 'signedint'" is 10. */
function plainValue(text: string): string {
  return /the value '(.*?)' of type/.exec(text)?.[1] ?? text;
}

function reasonIn(error: Error): string {
  return /with message "(.*)"$/s.exec(error.message)?.[1] ?? error.message;
}
