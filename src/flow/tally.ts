/** What happens too often for an event, counted since the master began. */
export class Tally {
  /** Publishes that came into the outbox. */
  published = 0;
  /** Of them: those that the broker has taken. */
  confirmed = 0;
  /** Handler calls of subscriptions that have begun. */
  transientCalls = 0;
  /** Handler calls of consumers that have begun. */
  durableCalls = 0;
}
