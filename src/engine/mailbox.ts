import type { ShouldersError } from "../errors.js";

/** Events from one producer to one reader, in order; ends when it is closed or fails. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #events: T[] = [];
  #end: { error: ShouldersError | null } | null = null;
  #wakeReader: (() => void) | null = null;

  push(event: T): void {
    this.#events.push(event);
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
      if (event !== undefined) yield event;
      else if (this.#end?.error) throw this.#end.error;
      else if (this.#end) return;
      else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  #finish(error: ShouldersError | null): void {
    this.#end ??= { error };
    this.#wakeReader?.();
  }
}
