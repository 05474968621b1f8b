import type { RequestHandler } from "express";
import { z } from "zod";
import type { GeneratedToken, GivenText, Usage } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import type { Explanation } from "../../wire/fusion.js";
import { toLogprob } from "../../wire/numbers.js";
import { nameAnswer, planOptions } from "../completion/answering.js";
import { findConfig, type ApiContext } from "../context.js";
import { givenTokens } from "../completion/fusion-fields.js";
import {
  choicesOf,
  traceId,
  planCompletion,
  type ChoicePlan,
  type PlanOptions,
  type RequestPlan,
} from "../completion/plan.js";
import { chatSchema } from "../openai/schemas.js";
import { ignoredOf } from "../openai/shapes.js";
import { recordsOf, toUsage } from "../completion/records.js";
import { parseRequest } from "../parse.js";
import { runCompletion } from "../completion/run-completion.js";
import { closedSignal } from "../sse-writer.js";

const textOrTokens = z.union([z.string().min(1), givenTokens], {
  error: "expected text or token ids",
});

export const explainSchema = z
  .strictObject({
    model: chatSchema.shape.model,
    messages: chatSchema.shape.messages.nullish(),
    prompt: textOrTokens.nullish().describe("Text or token ids, instead of messages."),
    completion: textOrTokens.describe(
      "The answer to look at: every token of it is taken as given, none is drawn.",
    ),
    fusion: chatSchema.shape.fusion,
  })
  .refine(({ messages, prompt }) => (messages == null) !== (prompt == null), {
    path: ["messages"],
    error: "give either messages or a prompt",
  });

type ExplainBody = z.output<typeof explainSchema>;

/** `POST /v1/fusion/explain`: the records that a given answer would have had. */
export function explain(context: ApiContext): RequestHandler<object, Explanation> {
  return async (request, response) => {
    const plan = planExplanation(request.body, planOptions(context, response));
    nameAnswer(response, plan);
    const [only] = choicesOf(plan) as [ChoicePlan];
    const tokens: GeneratedToken[] = [];
    for await (const event of runCompletion(context, only, closedSignal(response, context.cut))) {
      if (event.type === "accepted") continue;
      tokens.push(...event.tokens);
      if (event.type === "done") response.json(explanation(plan, tokens, event.usage));
    }
  };
}

/** @throws ShouldersError that names the field at fault. */
function planExplanation(body: unknown, options: PlanOptions): RequestPlan {
  const { model, messages, prompt, completion, fusion: asked } = parseRequest(explainSchema, body);
  // Its records are what it is asked for.
  const fusion = { ...asked, trace: asked?.trace === "full" ? ("full" as const) : ("weights" as const) };
  const plan =
    messages == null
      ? planCompletion("text", { model, prompt, fusion }, options)
      : planCompletion("chat", { model, messages, fusion }, options);
  const forced = toGiven(completion, findConfig(options.description, model).vocabularySize);
  return { ...plan, id: traceId("explain-", options), request: { ...plan.request, forced, maxTokens: null } };
}

function toGiven(completion: ExplainBody["completion"], vocabularySize: number): GivenText {
  if (typeof completion === "string") return { type: "text", text: completion };
  const index = completion.findIndex((token) => token >= vocabularySize);
  if (index < 0) return { type: "tokens", tokens: completion };
  throw fieldError(
    `completion.${index}`,
    `a token id must be below ${vocabularySize}, the size of the vocabulary`,
  );
}

function explanation(
  { id, model, created, systemFingerprint, ignored, reports }: RequestPlan,
  tokens: GeneratedToken[],
  usage: Usage,
): Explanation {
  const records = recordsOf(tokens, reports);
  const sum = records.reduce((total, { logprob }) => total + logprob, 0);
  return {
    id,
    object: "fusion.explanation",
    created,
    model,
    system_fingerprint: systemFingerprint,
    // Nats, of the fused distribution.
    logprob: { sum: toLogprob(sum), mean: toLogprob(sum / Math.max(1, records.length)) },
    tokens: records,
    usage: toUsage(usage),
    ...ignoredOf({ ignored }),
  };
}
