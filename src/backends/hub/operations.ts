import { Fifo } from '../../model/fifo.js';

/** Something to be said to a sink. */
export interface Word {
  say(): unknown;
}

/** Something that has work left at the end of an operation. */
export interface Worker {
  /** It is to be let work: kept by the operations. */
  isCalled: boolean;
  /** Does one piece, which may tell a sink; says whether there may be more. */
  work(): boolean;
}

/**
 * What the hub does is done at once; what it says about it is said when the operation is complete, in the order in which it
 * happened. So a sink may call the hub again from within a word: everybody still hears everything in one order, and
 * nobody sees half an operation.
 */
export class Operations {
  readonly #words = new Fifo<Word>();
  readonly #workers = new Fifo<Worker>();
  #acting = false;

  /** Runs an operation. Within another one it is a part of it. */
  run<T>(operation: () => T): T;
  /** The same for one that is run so often that a closure around its subject would count. */
  run<T, S>(operation: (subject: S) => T, subject: S): T;
  run<T, S>(operation: (subject: S) => T, subject?: S): T {
    if (this.#acting) return operation(subject as S);
    this.#acting = true;
    try {
      return operation(subject as S);
    } finally {
      // A sink that throws, though none may, does not stop the hub: what is left is said with the next operation.
      try {
        this.#complete();
      } finally {
        this.#acting = false;
      }
    }
  }

  /** Within an operation only. */
  say(word: Word): void {
    this.#words.push(word);
  }

  /** Lets the worker do its work when the operation is complete. Within an operation only. */
  callLater(worker: Worker): void {
    if (worker.isCalled) return;
    worker.isCalled = true;
    this.#workers.push(worker);
  }

  #complete(): void {
    for (;;) {
      const word = this.#words.shift();
      if (word) word.say();
      else {
        const worker = this.#workers.shift();
        if (!worker) return;
        worker.isCalled = false;
        this.#letWork(worker);
      }
    }
  }

  /** One piece, and more as long as nobody else has anything to do or to say. */
  #letWork(worker: Worker): void {
    while (worker.work()) {
      if (this.#words.size === 0 && this.#workers.size === 0) continue;
      this.callLater(worker);
      return;
    }
  }
}
