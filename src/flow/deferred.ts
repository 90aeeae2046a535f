/** A promise that is settled from outside. A rejection that nobody waits for is no unhandled one. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (reason: unknown) => void;
  #settled = false;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = (value) => {
        this.#settled = true;
        resolve(value);
      };
      this.reject = (reason) => {
        this.#settled = true;
        reject(reason);
      };
    });
    this.promise.catch(() => {});
  }

  get settled(): boolean {
    return this.#settled;
  }
}
