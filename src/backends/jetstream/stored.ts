import type { Msg } from '@nats-io/transport-node';
import type { Clock, Timer } from '../../model/clock.js';
import { ConnectError } from '../../model/errors.js';
import { isPassingCode, refusal, type ApiRefusal } from './api-errors.js';
import type { Connection, HeaderBlock } from './connection.js';
import { isNobody, type Inbox } from './inbox.js';

/** What a stream answers when it has a message. */
export interface Kept {
  readonly seq: number;
  readonly duplicate?: boolean;
}

interface PubAnswer extends Partial<Kept> {
  readonly error?: ApiRefusal;
}

/** Until a message that has no answer is sent again. */
const AGAIN_MS = { first: 2_000, refused: 50 } as const;
/** After so long the server is told of as silent. */
const PATIENCE_MS = 30_000;

export interface Storing {
  readonly subject: string;
  readonly body: Uint8Array | string;
  /** With a `Nats-Msg-Id`: sent twice, it is stored once. */
  readonly headers: HeaderBlock;
}

/**
 * Puts single messages into a stream: records, letters. Resolves once it has them; asked again, under the same id, while an
 * election keeps it from answering.
 */
export function store(inbox: Inbox, connection: Connection, clock: Clock, storing: Storing): Promise<Kept> {
  return new Promise((resolve, reject) => {
    const deadline = clock.now() + PATIENCE_MS;
    let token: string | undefined;
    let timer: Timer | undefined;
    const finish = (settle: () => void) => {
      clock.clearTimeout(timer);
      if (token !== undefined) inbox.forget(token);
      offEnd();
      settle();
    };
    const again = (afterMs: number) => {
      clock.clearTimeout(timer);
      timer = clock.setTimeout(() => {
        if (clock.now() < deadline) return send();
        finish(() => reject(new ConnectError('The stream has not answered; the outcome is unknown.')));
      }, afterMs);
    };
    const send = () => {
      if (token !== undefined) inbox.forget(token);
      again(AGAIN_MS.first);
      try {
        token = inbox.ask(storing.subject, storing.body, { headers: storing.headers, answered });
      } catch (thrown) {
        finish(() => reject(thrown));
      }
    };
    const answered = (message: Msg) => {
      if (isNobody(message)) return again(AGAIN_MS.refused);
      const answer = readAnswer(message);
      if (answer.error && isPassingCode(answer.error)) return again(AGAIN_MS.refused);
      finish(() => {
        if (answer.error) reject(refusal(answer.error));
        else resolve({ seq: answer.seq ?? 0, duplicate: answer.duplicate === true });
      });
    };
    const offEnd = connection.onEnd(() => finish(() => reject(connection.lostError())));
    send();
  });
}

export function readAnswer(message: Msg): PubAnswer {
  try {
    return message.json<PubAnswer>();
  } catch {
    return { error: { code: 500, err_code: 0, description: 'an answer that cannot be read' } };
  }
}
