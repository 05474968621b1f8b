import type { GeneratedToken, Prompt } from "../../protocol/protocol.js";
import type { ApiContext } from "../context.js";
import type { RequestPlan } from "./plan.js";

/** A prompt as it is given back before the answer. */
export interface Echo {
  text: string;
  /** The prompt's tokens with what the models gave them; null: log-probabilities were not asked for. */
  scored: { first: Uint8Array; others: GeneratedToken[] } | null;
}

/**
 * The prompt of a legacy completion as text and, with log-probabilities, token by token: all but the first, which
 * nothing comes before, are forced on the models and scored.
 *
 * @throws ShouldersError of the engine
 */
export async function echoOf(
  { engine }: ApiContext,
  { id, seed, request, echoLogprobs }: RequestPlan,
  prompt: Prompt,
  signal: AbortSignal,
): Promise<Echo> {
  const { configId, party } = request;
  const asker = { party, signal };
  if (prompt.type === "chat") return { text: "", scored: null };
  const given = prompt.type === "text" ? prompt.text : null;
  if (request.topLogprobs === null && given !== null) return { text: given, scored: null };
  const ids = prompt.type === "tokens" ? prompt.tokens : await tokenize(prompt.text);
  const text = given ?? Buffer.from((await detokenize(ids)).bytes).toString("utf8");
  const [first, ...rest] = ids;
  if (request.topLogprobs === null || first === undefined) return { text, scored: null };
  const others: GeneratedToken[] = [];
  const scoring = {
    ...request,
    requestId: `${id}-echo-${numEchoes++}`,
    seed,
    prompt: { type: "tokens" as const, tokens: [first] },
    forced: { type: "tokens" as const, tokens: rest },
    answerPrefix: null,
    grammar: null,
    logprobs: echoLogprobs,
    trace: "off" as const,
  };
  for await (const event of engine.generate(scoring, signal))
    if (event.type !== "accepted") others.push(...event.tokens);
  return { text, scored: { first: (await detokenize([first])).bytes, others } };

  async function tokenize(plain: string): Promise<number[]> {
    const query = { type: "tokenize", configId, text: plain, addSpecial: true, parseSpecial: true } as const;
    return [...(await engine.query(query, asker)).ids];
  }
  function detokenize(tokens: number[]) {
    return engine.query({ type: "detokenize", configId, tokens: Int32Array.from(tokens) }, asker);
  }
}

let numEchoes = 0;
