import { ShouldersError } from "../errors.js";
import type { Asker, EngineQuery, QueryOutcome, QueryResults, ToEngine } from "../protocol/protocol.js";

/** The questions to an engine that have no answer yet. */
export class OpenQueries {
  readonly #send: (message: ToEngine) => void;
  readonly #settleOf = new Map<string, (outcome: QueryOutcome) => void>();
  #numAsked = 0;

  constructor(send: (message: ToEngine) => void) {
    this.#send = send;
  }

  /** @throws ShouldersError as the engine refuses, or why there is no answer; or the signal's reason. */
  async ask<Q extends EngineQuery>(
    query: Q,
    { party, signal }: Partial<Asker>,
  ): Promise<QueryResults[Q["type"]]> {
    signal?.throwIfAborted();
    const queryId = `query-${++this.#numAsked}`;
    let leave: () => void = () => undefined;
    const outcome = await new Promise<QueryOutcome>((resolve, reject) => {
      this.#settleOf.set(queryId, resolve);
      leave = () => {
        // The reason is whatever the signal's owner gave: an error of ours, or an AbortError.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal?.reason);
        if (this.#settleOf.delete(queryId)) this.#send({ type: "cancel", requestId: queryId });
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#send({ type: "query", queryId, party: party ?? "", query });
    }).finally(() => signal?.removeEventListener("abort", leave));
    if (outcome.error) throw ShouldersError.fromData(outcome.error);
    return outcome.result as QueryResults[Q["type"]];
  }

  settle(queryId: string, outcome: QueryOutcome): void {
    this.#settleOf.get(queryId)?.(outcome);
    this.#settleOf.delete(queryId);
  }

  /** There will be no answers. */
  fail(error: ShouldersError): void {
    for (const queryId of [...this.#settleOf.keys()])
      this.settle(queryId, { result: null, error: error.toData() });
  }
}
