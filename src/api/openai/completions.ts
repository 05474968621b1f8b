import type { RequestHandler, Response } from "express";
import { AnswerBudget } from "../completion/answer-budget.js";
import { nameAnswer, planAnswer } from "../completion/answering.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";
import { toOpenAiError } from "../openai-error.js";
import {
  collectChoices,
  runChoices,
  type ChoiceEvent,
  type CollectedChoice,
} from "../completion/run-choices.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { failureOf } from "../completion/serve-answer.js";
import { planCompletion, type CompletionKind } from "../completion/plan.js";
import { completionWriter, type CompletionOf, type CompletionWriter } from "./shapes.js";

type Events = AsyncIterable<ChoiceEvent>;

/** `POST /v1/chat/completions` and `POST /v1/completions`. */
export function completionHandler<Kind extends CompletionKind>(
  context: ApiContext,
  kind: Kind,
): RequestHandler<object, CompletionOf[Kind]> {
  return async (request, response) => {
    const plan = await planAnswer(context, response, (options) =>
      planCompletion(kind, request.body, options),
    );
    nameAnswer(response, plan);
    const config = findConfig(requireEngine(context), plan.model);
    const budget = new AnswerBudget(plan, config);
    // However many are asked for, no answer is longer than the context.
    const mostTokens = Math.min(plan.request.maxTokens ?? 0, config.contextTokens);
    if (!plan.isStream) budget.check(plan.prompts.length * plan.numAnswers * mostTokens);
    const events = runChoices(context, plan, closedSignal(response, context.cut));
    const writer = completionWriter(kind, plan);
    if (plan.isStream) await stream(context, response, events, writer);
    else await answer(response, collectChoices(events, budget), writer);
  };
}

async function answer<Completion>(
  response: Response<Completion>,
  collected: Promise<CollectedChoice[]>,
  writer: CompletionWriter<Completion>,
): Promise<void> {
  const choices = await collected;
  // None, or not all, where the client has left.
  if (!response.destroyed) response.json(writer.whole(choices));
}

/** Nothing is sent before the first token: whatever fails until then has a real status. */
async function stream(
  context: ApiContext,
  response: Response,
  events: Events,
  writer: CompletionWriter<unknown>,
): Promise<void> {
  const sse = new SseWriter(response, context.limits);
  try {
    for await (const event of events) for (const chunk of writer.chunks(event)) await sse.send(chunk);
    if (writer.isComplete) {
      const usage = writer.usage();
      if (usage !== null) await sse.send(usage);
      await sse.send("[DONE]");
    }
  } catch (thrown) {
    await sse.send(toOpenAiError(failureOf(response, thrown)).body);
  } finally {
    sse.close();
  }
}
