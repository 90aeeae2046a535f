/** Somebody who moves messages over one broker: how fast is what the benchmark asks. */
export interface Contender {
  readonly name: string;
  open(url: string): Promise<Running>;
}

export interface Running {
  /** Resolves when the broker has confirmed it. */
  publish(data: object): Promise<unknown>;
  /** Called for each message whose handler has been called, which then acks it if it is durable. */
  handled: () => void;
  close(): Promise<void>;
}

/** Of each contender: so many publishes unconfirmed, so many deliveries unsettled. */
export const WINDOW = 1_000;
export const PREFETCH = 256;
