/** What a publish resolves with. */
export interface Receipt {
  readonly id: string;
  /** `confirmed`: every durable queue that matches has it. `spooled`: it is on this machine's disk, and will be sent. */
  readonly outcome: 'confirmed' | 'spooled';
}
