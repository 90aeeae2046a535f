import * as errors from '../../model/errors.js';

/** An error as it goes over the socket. */
export interface ErrorWord {
  readonly code: string;
  readonly text: string;
  readonly queues?: readonly string[];
}

/** Those that a hub may answer with; each is made from a text alone, but for one. */
const CLASSES = [
  errors.QueueSettingsError,
  errors.QueueInUseError,
  errors.QueueNotFoundError,
  errors.QueueDeletedError,
  errors.MasterNameTakenError,
  errors.SessionLostError,
  errors.BrokerFullError,
  errors.FolderError,
  errors.ProtocolError,
  errors.FencedError,
  errors.ConnectError,
  errors.StoppedError,
  errors.PatternError,
  errors.TopicError,
  errors.OptionError,
];

const classes = new Map(CLASSES.map((Class) => [new Class('').code as string, Class]));

export function errorWord(error: unknown): ErrorWord {
  if (error instanceof errors.QueueFullError)
    return { code: error.code, text: error.message, queues: error.queues };
  if (error instanceof errors.SignalboxError) return { code: error.code, text: error.message };
  return { code: 'ERR_PROTOCOL', text: `The hub has failed at this: ${errors.toError(error).message}` };
}

export function errorOf(word: unknown): Error {
  const { code, text, queues } = (
    typeof word === 'object' && word !== null ? word : {}
  ) as Partial<ErrorWord>;
  if (code === 'ERR_QUEUE_FULL' && Array.isArray(queues)) return new errors.QueueFullError(queues);
  const Class = classes.get(String(code)) ?? errors.ProtocolError;
  return new Class(String(text));
}
