import type { Confidence } from "../config/confidence.js";
import { ShouldersError } from "../errors.js";
import type { Engine, GenerationRequest, Usage } from "../protocol/protocol.js";
import { answerTokens, tokensOf } from "./answer-tokens.js";
import { type Generate, type Law, readCandidates } from "./read-candidates.js";
import { type Normalisation, type Verdict, verdictOf } from "./verdict.js";

export interface JudgeOptions {
  laws: readonly [Law, ...Law[]];
  normalise: Normalisation;
  confidence: Confidence | null;
}

/** What every judgement asks for unless told otherwise. */
export const plainJudging: JudgeOptions = { laws: ["fused"], normalise: "sum", confidence: null };

export interface Judging {
  engine: Pick<Engine, "query">;
  generate: Generate;
  /** The prompt, and by which fusion it is judged. */
  request: GenerationRequest;
  /** Texts that may be its answer. */
  candidates: readonly string[];
  /** What ends an answer; null: no token does. */
  endToken: number | null;
  options: JudgeOptions;
  signal: AbortSignal;
}

export interface Judged extends Verdict {
  /** Of each candidate, its end included where that counts. */
  tokens: number[][];
  usages: Usage[];
}

/**
 * Which of several texts is the answer to a prompt.
 *
 * @throws ShouldersError `invalid_request` that names the candidate; those of the engine; or the reason of the signal
 */
export async function judge(judging: Judging): Promise<Judged> {
  const { engine, generate, request, candidates, options, signal } = judging;
  const { normalise, confidence } = options;
  const { prompt, configId, party } = request;
  const asked = { engine, configId, asker: { party, signal } };
  const texts = await (prompt.type === "chat"
    ? answerTokens(asked, prompt, candidates)
    : // Behind a text that is no chat nothing is added.
      Promise.all(candidates.map((text) => tokensOf(asked, text, true))));
  const empty = texts.findIndex((tokens) => tokens.length === 0);
  if (empty >= 0)
    throw new ShouldersError("invalid_request", `Candidate ${empty + 1} has no tokens: give it some text.`, {
      param: `candidates.${empty}`,
    });
  const end = normalise === "end" ? [endOf(judging)] : [];
  const tokens = texts.map((text) => [...text, ...end]);
  const leans = confidence !== null && confidence.alpha > 0 && !options.laws.includes("base");
  const laws: Law[] = [...options.laws, ...(leans ? (["base"] as const) : [])];
  const { logprobs, usages } = await readCandidates({ generate, request, candidates: tokens, laws, signal });
  return { ...verdictOf(logprobs, laws, options), tokens, usages };
}

function endOf({ endToken }: Judging): number {
  if (endToken !== null) return endToken;
  throw new ShouldersError(
    "invalid_request",
    "The vocabulary has no token that ends an answer: use sum or mean.",
    { param: "normalise" },
  );
}
