import { setMaxListeners } from "node:events";
import type { Law } from "../config/debate.js";
import { ShouldersError } from "../errors.js";
import { fixedWeights, type StrategyConfig } from "../strategies/registry.js";
import type { GeneratedToken, GenerationEvent, GenerationRequest, Usage } from "../protocol/protocol.js";

export type { Law };

export type Generate = (request: GenerationRequest, signal: AbortSignal) => AsyncIterable<GenerationEvent>;

export interface Reading {
  generate: Generate;
  /** What is asked of the fusion; its answer is given, and its id begins those of all candidates. */
  request: GenerationRequest;
  /** Tokens of each; none is empty. */
  candidates: readonly (readonly number[])[];
  laws: readonly Law[];
  signal: AbortSignal;
}

/** Log-probabilities of a candidate's tokens, nats, by law. */
export type Logprobs = Record<string, number[]>;

/** The model that a law is of; null: several, fused. */
const memberOf = (law: Law): string | null =>
  law === "fused" ? null : law === "base" ? law : law.slice("expert:".length);

/**
 * What laws give the tokens of several answers to one prompt, by teacher forcing. The engine reads the prompt once, and
 * the answers side by side; equal ones are read once. One pass gives all laws, unless an expert did not run in it.
 *
 * @returns for each candidate its log-probabilities; usages of all that was read, the first of each pass with its prompt
 * @throws ShouldersError of the engine, or the reason of the signal
 */
export async function readCandidates(reading: Reading): Promise<{ logprobs: Logprobs[]; usages: Usage[] }> {
  const { candidates, laws, request } = reading;
  const keys = candidates.map((tokens) => tokens.join(" "));
  const unique = new Map(keys.map((key, index) => [key, candidates[index] ?? []]));
  const alone = laws.filter((law) => law !== "fused");
  const answers = [...unique.values()];
  const fused = laws.includes("fused")
    ? await teach(reading, answers, { ...request, wantsMembers: alone.length > 0 })
    : null;
  const missing =
    fused === null ? alone : alone.filter((law) => fused.some(({ logprobs }) => !(law in logprobs)));
  const others = missing.length === 0 ? null : await teach(reading, answers, aloneRequest(request, missing));
  const logprobsOf = new Map(
    [...unique.keys()].map((key, index) => {
      const known = { ...fused?.[index]?.logprobs, ...others?.[index]?.logprobs };
      return [key, Object.fromEntries(laws.map((law) => [law, known[law] ?? []]))];
    }),
  );
  return {
    logprobs: keys.map((key) => logprobsOf.get(key) ?? {}),
    usages: [...(fused ?? []), ...(others ?? [])].map(({ usage }) => usage),
  };
}

/** Runs all experts, or the base alone, whatever the fusion leaves out. */
function aloneRequest(request: GenerationRequest, laws: readonly Law[]): GenerationRequest {
  const strategy: StrategyConfig = laws.every((law) => law === "base")
    ? { type: "base" }
    : fixedWeights({}, null);
  return {
    ...request,
    requestId: `${request.requestId}-alone`,
    ...{ strategy, bounds: null, prior: null, budget: null, loss: 0 },
    ...{ logprobs: "fused", wantsMembers: true },
  };
}

interface Taught {
  logprobs: Logprobs;
  usage: Usage;
}

/** Side by side: when one fails, all end. */
async function teach(
  { generate, signal, laws }: Reading,
  answers: readonly (readonly number[])[],
  request: GenerationRequest,
): Promise<Taught[]> {
  const own = new AbortController();
  const either = AbortSignal.any([signal, own.signal]);
  // Every answer listens.
  setMaxListeners(0, either);
  const runs = answers.map(async (tokens, index) => {
    const requestId = index === 0 ? request.requestId : `${request.requestId}-${index}`;
    const forced = { type: "tokens" as const, tokens: [...tokens] };
    const given: GeneratedToken[] = [];
    for await (const event of generate({ ...request, requestId, forced }, either)) {
      if (event.type === "accepted") continue;
      given.push(...event.tokens);
      if (event.type === "done")
        return { logprobs: byLaw(given.slice(0, tokens.length), laws), usage: event.usage };
    }
    signal.throwIfAborted();
    throw new ShouldersError("engine_died", "The engine ended an answer without its end.");
  });
  try {
    return await Promise.all(runs);
  } finally {
    own.abort();
    await Promise.allSettled(runs);
  }
}

/** Of the laws that every token tells of. */
function byLaw(tokens: readonly GeneratedToken[], laws: readonly Law[]): Logprobs {
  const told = laws.flatMap((law) => {
    const member = memberOf(law);
    const values = tokens.map(({ record, members }) =>
      member === null ? record.logprob : members?.[member],
    );
    return values.every((value) => value !== undefined) ? [[law, values] as const] : [];
  });
  return Object.fromEntries<number[]>(told);
}
