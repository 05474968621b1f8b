import { ShouldersError } from "../errors.js";
import type { HoldOptions, Release } from "../protocol/models.js";
import type { ModelGroup } from "./model-group.js";

interface Waiter {
  onProgress: ((fraction: number) => void) | undefined;
  resolve: (release: Release) => void;
  reject: (error: unknown) => void;
}

/** A load that somebody waits for. Those who wait hold the models from the moment at which they are there. */
export class PendingLoad {
  readonly #waiters = new Set<Waiter>();
  #fraction = 0;

  get fraction(): number {
    return this.#fraction;
  }

  get isWanted(): boolean {
    return this.#waiters.size > 0;
  }

  progress(fraction: number): void {
    this.#fraction = fraction;
    for (const { onProgress } of this.#waiters) onProgress?.(fraction);
  }

  done(group: ModelGroup): void {
    for (const { resolve } of this.#waiters) resolve(group.hold());
    this.#waiters.clear();
  }

  failed(error: ShouldersError): void {
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters.clear();
  }

  async wait({ signal, onProgress, waitMs }: HoldOptions & { waitMs: number }): Promise<Release> {
    let leave: (error: unknown) => void = () => undefined;
    const onAbort = () => leave(signal.reason);
    // One that is not set is cleared without harm.
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Release>((resolve, reject) => {
        const waiter: Waiter = { onProgress, resolve, reject };
        this.#waiters.add(waiter);
        onProgress?.(this.#fraction);
        leave = (error) => {
          // Too late: it holds the models already.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          if (this.#waiters.delete(waiter)) reject(error);
        };
        signal.addEventListener("abort", onAbort, { once: true });
        if (Number.isFinite(waitMs))
          timer = setTimeout(() => {
            leave(
              new ShouldersError(
                "queue_timeout",
                "The model was not loaded in time; try again, or raise --queue-timeout-seconds.",
              ),
            );
          }, waitMs);
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    }
  }
}
