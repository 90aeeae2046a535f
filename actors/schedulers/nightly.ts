import { Cron } from 'croner';
import { assign, emit, setup } from 'xstate';
import { OptionError, toError } from '../../src/model/errors.js';
import { missedRunsOf, type MissedRunsOptions } from './missed-runs.js';
import { publication, type MessageEvent, type Publication, type PublishEvent } from './publish.js';

export interface NightlyOptions extends MissedRunsOptions {
  /** `0 3 * * *` is three o'clock each night; five fields, six with seconds, or `@daily` and the like. */
  readonly cron: string;
  /** An IANA name, as `Europe/Berlin`; then daylight saving is kept to. Default: that of the process. */
  readonly timeZone?: string;
  readonly publish: Publication<{ readonly due: Date; readonly isLate: boolean }>;
}

/** Publishes at times of the calendar: once each, however many masters there are. OptionError for what is no such time. */
export function nightly(options: NightlyOptions) {
  const { cron, timeZone, publish } = options;
  const { now, isLate, leavesOut } = missedRunsOf(options);
  const calendar = readCron(cron, timeZone);
  // A calendar may end, as one with a year in it: then nothing is due any more.
  const dueAfter = (time: number): Date | undefined => calendar.nextRun(new Date(time)) ?? undefined;
  return setup({
    types: {
      context: {} as { readonly due: Date | undefined },
      events: {} as MessageEvent,
      emitted: {} as PublishEvent,
    },
    delays: { due: ({ context }) => Math.max(1, (context.due?.getTime() ?? 0) - now()) },
    actions: {
      publish: emit(({ context }) =>
        publication(publish, { due: context.due!, isLate: isLate(context.due!) }),
      ),
      plan: assign({ due: () => dueAfter(now()) }),
    },
    guards: {
      isOver: ({ context }) => context.due === undefined,
      isMissed: ({ context }) => leavesOut(context.due!),
    },
  }).createMachine({
    id: 'nightly',
    context: () => ({ due: dueAfter(now()) }),
    initial: 'waiting',
    states: {
      waiting: {
        always: { guard: 'isOver', target: 'over' },
        after: {
          due: [
            { guard: 'isMissed', target: 'waiting', reenter: true, actions: 'plan' },
            { target: 'waiting', reenter: true, actions: ['publish', 'plan'] },
          ],
        },
      },
      over: {},
    },
  });
}

function readCron(cron: string, timezone: string | undefined): Cron {
  try {
    const calendar = new Cron(cron, timezone === undefined ? {} : { timezone });
    // An unknown time zone shows here only.
    calendar.nextRun();
    return calendar;
  } catch (cause) {
    throw new OptionError(
      `nightly: "${cron}"${timezone ? ` in ${timezone}` : ''} is no time: ${toError(cause).message}`,
      {
        cause,
      },
    );
  }
}
