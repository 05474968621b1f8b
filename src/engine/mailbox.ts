import type { ShouldersError } from "../errors.js";

export interface MailboxOptions {
  /** More unread events than this make the mailbox full. */
  pauseAt: number;
  /** Once so few are left it is no longer full. */
  resumeAt: number;
  /** Told each time the mailbox becomes full, and each time it no longer is. */
  onFull: (isFull: boolean) => void;
}

/** Events from one producer to one reader, in order; ends when it is closed or fails. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #options: MailboxOptions;
  readonly #events: T[] = [];
  #end: { error: ShouldersError | null } | null = null;
  #wakeReader: (() => void) | null = null;
  #isFull = false;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  push(event: T): void {
    this.#events.push(event);
    if (!this.#isFull && this.#events.length > this.#options.pauseAt) this.#setFull(true);
    this.#wakeReader?.();
  }

  /** What was pushed before is still read; then the reader's loop ends. */
  close(): void {
    this.#finish(null);
  }

  /** What was pushed before is still read; then the reader's loop throws. */
  fail(error: ShouldersError): void {
    this.#finish(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const event = this.#events.shift();
      if (this.#isFull && this.#events.length <= this.#options.resumeAt) this.#setFull(false);
      if (event !== undefined) yield event;
      else if (this.#end?.error) throw this.#end.error;
      else if (this.#end) return;
      else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  #setFull(isFull: boolean): void {
    this.#isFull = isFull;
    if (this.#end === null) this.#options.onFull(isFull);
  }

  #finish(error: ShouldersError | null): void {
    this.#end ??= { error };
    this.#wakeReader?.();
  }
}
