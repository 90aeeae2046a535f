import { JetStreamApiError } from '@nats-io/jetstream';
import {
  AuthorizationError,
  ConnectionError,
  NoRespondersError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node';
import {
  AccessError,
  BrokerFullError,
  ConnectError,
  FencedError,
  PayloadTooLargeError,
  SignalboxError,
  toError,
} from '../../model/errors.js';

/** Codes of JetStream's errors that mean something to us. */
export const Code = {
  clusterNotAvailable: 10008,
  consumerNotFound: 10014,
  insufficientResources: 10023,
  noMessageFound: 10037,
  notEnabled: 10039,
  noStorageLeft: 10047,
  messageTooLarge: 10054,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  subjectsOverlap: 10065,
  wrongLastSequence: 10071,
  /** Of a stream that takes no more, and of one that cannot write. */
  streamStoreFailed: 10077,
  messageNotDeleted: 10057,
  noSequence: 10043,
  rescued: 10118,
} as const;

/** What a stream answered instead of an acknowledgement. */
export interface ApiRefusal {
  readonly code: number;
  readonly err_code: number;
  readonly description: string;
}

/** Whether asking again in a moment may help: an election, a restart, a server that is busy. */
export function isPassing(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return isPassingCode(error.apiError());
  if (error instanceof TimeoutError || error instanceof NoRespondersError) return true;
  if (error instanceof RequestError) return true;
  return (
    error instanceof Error &&
    error.name === 'JetStreamNotEnabled' &&
    !(error.cause instanceof JetStreamApiError)
  );
}

export function isPassingCode({ code, err_code }: ApiRefusal): boolean {
  return (
    err_code === Code.clusterNotAvailable ||
    (code === 503 && err_code !== Code.notEnabled && err_code !== Code.streamStoreFailed)
  );
}

export function errorCode(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.apiError().err_code : undefined;
}

/** A message that a stream refused for good, or for now, and did not take. */
export function refusal(told: ApiRefusal): Error {
  const { err_code, description } = told;
  switch (err_code) {
    case Code.streamStoreFailed:
    case Code.insufficientResources:
    case Code.noStorageLeft:
      return new BrokerFullError(
        `The JetStream server takes no more: ${description}. Acks and deletions make room.`,
      );
    case Code.wrongLastSequence:
      return new FencedError(`Somebody else has written since: ${description}.`);
    case Code.messageTooLarge:
      return new PayloadTooLargeError(`The message is larger than its stream takes: ${description}.`);
    default:
      return new ConnectError(`The JetStream server refuses: ${description} (${err_code}).`);
  }
}

const CERTIFICATE = /^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;

/** Why a connection was not established, as an error that says whether trying again may help. */
export function connectError(thrown: unknown, shown: string): Error {
  if (thrown instanceof SignalboxError) return thrown;
  const error = toError(thrown);
  if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError)
    return new AccessError(`${shown} refuses this user, password, token or key: ${error.message}`, {
      cause: error,
    });
  if (/nkey|seed|creds|jwt/i.test(error.name + error.message) && !(error instanceof ConnectionError))
    return new AccessError(`These credentials cannot be used at ${shown}: ${error.message}`, {
      cause: error,
    });
  const { code } = (error.cause ?? error) as { code?: unknown };
  if (typeof code === 'string' && CERTIFICATE.test(code))
    return new AccessError(`${shown} has a certificate that is not trusted: ${error.message}`, {
      cause: error,
    });
  return new ConnectError(`${shown} was not reached: ${error.message}`, { cause: error });
}
