import type { RequestHandler } from "express";
import { z } from "zod";
import type { LlamaCompletion } from "../../wire/llama-cpp.js";
import { planAnswer } from "../completion/answering.js";
import { planCompletion } from "../completion/plan.js";
import { serveAnswer } from "../completion/serve-answer.js";
import { requireEngine, type ApiContext } from "../context.js";
import { givenTokens } from "../completion/fusion-fields.js";
import { parseRequest, unsupportedUnless } from "../parse.js";
import { CompletionWriter } from "./completion-writer.js";

const mostTokens = z.int().min(-1).nullish();
const isOne = (value: unknown) => value === 1;

/** What is called or meant otherwise than in a body of `/v1/completions`, of which the rest is. */
export const llamaBodySchema = z.looseObject({
  model: z.string().min(1).nullish().describe("Id of a fusion config. Default: the first."),
  prompt: z
    .union([z.string(), givenTokens], { error: "expected text or token ids" })
    .describe("Text or token ids, as it is: no chat template is applied."),
  n_predict: mostTokens.describe("Most tokens to generate. Default, and -1: to the end."),
  max_tokens: mostTokens.describe("As n_predict, which wins."),
  n_probs: z.int().min(0).max(20).nullish().describe("Alternatives to report of each token; 0: none."),
  logprobs: unsupportedUnless(z.unknown(), (value) => value === false || value === 0, "use n_probs"),
  return_tokens: z.boolean().nullish().describe("Answer the ids of the tokens, too."),
  n: unsupportedUnless(z.unknown(), isOne, "ask /v1/completions"),
  n_cmpl: unsupportedUnless(z.unknown(), isOne, "ask /v1/completions"),
  echo: unsupportedUnless(z.unknown(), (value) => value === false, "ask /v1/completions"),
  stream: z.boolean().nullish().describe("Answer as server-sent events."),
});

/** `POST /completion`: a text completion as llama-server answers it. */
export function llamaCompletion(context: ApiContext): RequestHandler<object, LlamaCompletion> {
  return async (request, response) => {
    const body = parseRequest(llamaBodySchema, request.body);
    const { model, n_predict, max_tokens, n_probs, return_tokens, ...others } = body;
    const first = requireEngine(context).configs[0]?.id ?? "";
    const text = {
      ...others,
      model: model ?? first,
      max_tokens: n_predict ?? max_tokens ?? -1,
      logprobs: n_probs != null && n_probs > 0 ? n_probs : null,
      n_cmpl: null,
    };
    const names: Record<string, string> = { logprobs: "n_probs" };
    if (n_predict != null) names["max_tokens"] = "n_predict";
    const fieldName = (param: string) => names[param] ?? param;
    const plan = await planAnswer(context, response, (options) =>
      planCompletion("text", text, { ...options, fieldName }),
    );
    const writer = new CompletionWriter(plan, { prompt: body.prompt, hasTokens: return_tokens === true });
    await serveAnswer({ context, response, plan }, writer);
  };
}
