import { ShouldersError } from "../../errors.js";

/** What one key may do; 0: no limit. */
export interface RequestLimits {
  requestsPerMinute: number;
  concurrentRequests: number;
}

interface Account {
  running: number;
  /** Requests that may begin now: refilled evenly, at most a minute's worth. */
  tokens: number;
  refilledAt: number;
}

/** Rate and concurrency of requests, by key name. */
export class RequestLimiter {
  readonly #limits: RequestLimits;
  readonly #now: () => number;
  /** No larger than the number of keys. */
  readonly #accounts = new Map<string, Account>();

  /** @param now milliseconds; a test's clock. */
  constructor(limits: RequestLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * Counts a request that begins; call what it returns when the request has ended.
   * @throws ShouldersError `rate_limited`, with the seconds after which a try may succeed.
   */
  enter(owner: string): () => void {
    const { requestsPerMinute, concurrentRequests } = this.#limits;
    const account = this.#refilled(owner);
    if (concurrentRequests > 0 && account.running >= concurrentRequests)
      throw limited(`${concurrentRequests} requests of this key are running: wait for one to end.`, 1);
    if (requestsPerMinute > 0) {
      if (account.tokens < 1) {
        const seconds = Math.ceil(((1 - account.tokens) * 60) / requestsPerMinute);
        throw limited(
          `More than ${requestsPerMinute} requests a minute: try again in ${seconds} s.`,
          seconds,
        );
      }
      account.tokens--;
    }
    account.running++;
    let isOver = false;
    return () => {
      if (!isOver) account.running--;
      isOver = true;
    };
  }

  #refilled(owner: string): Account {
    const { requestsPerMinute } = this.#limits;
    const now = this.#now();
    const account = this.#accounts.get(owner) ?? { running: 0, tokens: requestsPerMinute, refilledAt: now };
    const earned = ((now - account.refilledAt) / 60_000) * requestsPerMinute;
    account.tokens = Math.min(requestsPerMinute, account.tokens + earned);
    account.refilledAt = now;
    this.#accounts.set(owner, account);
    return account;
  }
}

function limited(message: string, retryAfterSeconds: number): ShouldersError {
  return new ShouldersError("rate_limited", message, { retryAfterSeconds });
}
