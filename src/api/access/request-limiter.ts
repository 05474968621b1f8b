import { ShouldersError } from "../../errors.js";

/** What one key may do; 0: no limit. */
export interface RequestLimits {
  requestsPerMinute: number;
  concurrentRequests: number;
}

/** What a key does at one server. */
export interface KeyUse {
  owner: string;
  /** Requests that began since this was told last. */
  numBegun: number;
  numRunning: number;
}

interface Account {
  running: number;
  /** Requests that may begin now: refilled evenly, at most a minute's worth. Below 0: others took more than that. */
  tokens: number;
  refilledAt: number;
  /** What other servers do not know yet. */
  untold: { numBegun: number; isRunningKnown: boolean };
  /** Requests that run at other servers, by server. */
  elsewhere: Map<string, { numRunning: number; toldAt: number }>;
}

/** A server that has told nothing for so long runs nothing, ms. */
const silenceMs = 5000;

/**
 * Rate and concurrency of requests, by key name. Servers that tell each other what they take share the limits: what all
 * admit in the time between is the most by which they are passed.
 */
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
    if (concurrentRequests > 0 && account.running + this.#elsewhere(account) >= concurrentRequests)
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
    account.untold = { numBegun: account.untold.numBegun + 1, isRunningKnown: false };
    let isOver = false;
    return () => {
      if (isOver) return;
      account.running--;
      account.untold.isRunningKnown = false;
      isOver = true;
    };
  }

  /** Requests of a key that may run; Infinity: any number. */
  get mostRunning(): number {
    const { concurrentRequests } = this.#limits;
    return concurrentRequests > 0 ? concurrentRequests : Infinity;
  }

  get isOn(): boolean {
    return this.#limits.requestsPerMinute > 0 || this.#limits.concurrentRequests > 0;
  }

  /** What other servers should know now. */
  takeUses(): KeyUse[] {
    const uses: KeyUse[] = [];
    for (const [owner, { running, untold }] of this.#accounts) {
      if (untold.isRunningKnown && running === 0) continue;
      uses.push({ owner, numBegun: untold.numBegun, numRunning: running });
      Object.assign(untold, { numBegun: 0, isRunningKnown: true });
    }
    return uses;
  }

  /** What another server has told. */
  hear(server: string, { owner, numBegun, numRunning }: KeyUse): void {
    const account = this.#refilled(owner);
    account.tokens = Math.max(-this.#limits.requestsPerMinute, account.tokens - numBegun);
    if (numRunning > 0) account.elsewhere.set(server, { numRunning, toldAt: this.#now() });
    else account.elsewhere.delete(server);
  }

  #elsewhere({ elsewhere }: Account): number {
    const oldest = this.#now() - silenceMs;
    for (const [server, { toldAt }] of elsewhere) if (toldAt < oldest) elsewhere.delete(server);
    return [...elsewhere.values()].reduce((sum, { numRunning }) => sum + numRunning, 0);
  }

  #refilled(owner: string): Account {
    const { requestsPerMinute } = this.#limits;
    const now = this.#now();
    const account = this.#accounts.get(owner) ?? {
      ...{ running: 0, tokens: requestsPerMinute, refilledAt: now },
      ...{ untold: { numBegun: 0, isRunningKnown: true }, elsewhere: new Map<string, never>() },
    };
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
