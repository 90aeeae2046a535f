import type { ChildSpec } from './child-spec.js';
import type { RefusalCode, SupervisorEvent } from './protocol.js';
import type { Child } from './roster.js';

export type Request = Extract<SupervisorEvent['type'], `child.${string}`>;

/**
 * Why a request about this child cannot be met, as OTP's start_child, terminate_child, restart_child and delete_child say it.
 * A child that is to be restarted counts as running. Only a static child is ever `stopped`.
 */
export function refusal(request: Request, child: Child | undefined): RefusalCode | undefined {
  if (request === 'child.start') {
    if (!child) return undefined;
    return child.incarnation ? 'already-started' : 'already-present';
  }
  if (!child) return 'not-found';
  if (request === 'child.stop') return undefined;
  return child.status === 'stopped' ? undefined : 'running';
}

/** The id of what should be a spec, and may be anything. */
export function idOf(given: ChildSpec | undefined): string {
  return typeof given?.id === 'string' ? given.id : '';
}
