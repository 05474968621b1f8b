import type { RequestHandler, Response } from "express";
import { z } from "zod";
import type { DebateSettings } from "../../config/debate.js";
import { ShouldersError, invariant } from "../../errors.js";
import { debate, type Debated, type DebateEvent } from "../../verdicts/debate/debate.js";
import type { Argument } from "../../verdicts/debate/transcript.js";
import {
  debateAnswerSchema,
  debateListSchema,
  type DebateAnswer,
  type DebateArgument,
  type DebateProgress,
} from "../../wire/debate.js";
import { toRounded } from "../../wire/numbers.js";
import type { judgedSchema } from "../../wire/verdict.js";
import { nameAnswer, planOptions } from "../completion/answering.js";
import type { ChoicePlan } from "../completion/plan.js";
import { runCompletion } from "../completion/run-completion.js";
import { failureOf } from "../completion/serve-answer.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { toOpenAiError } from "../openai-error.js";
import { ignoredOf, totalUsage } from "../openai/shapes.js";
import { parseRequest } from "../parse.js";
import { jsonRoute, type Route } from "../route.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { auditedOf } from "./audited.js";
import { type JudgePlan, planJudgement, queriesOf, runJudgement } from "./judge.js";

/** A plan that has a debate. */
export type DebatePlan = JudgePlan & { debate: DebateSettings };

export const isDebate = (plan: JudgePlan): plan is DebatePlan => plan.debate !== null;

/** `POST /v1/fusion/judge`: which of several texts is the answer. */
export function judgeHandler(context: ApiContext): RequestHandler<object, z.output<typeof judgedSchema>> {
  return async (request, response) => {
    const plan = planJudgement(request.body, planOptions(context, response));
    nameAnswer(response, plan);
    const signal = closedSignal(response, context.cut);
    if (isDebate(plan) && plan.isStream) {
      await stream(context, response, plan, signal);
      return;
    }
    const answer = isDebate(plan)
      ? await runDebate(context, plan, { signal })
      : await runJudgement(context, plan, signal);
    if (answer !== null) response.json(answer);
  };
}

async function stream(
  context: ApiContext,
  response: Response,
  plan: DebatePlan,
  signal: AbortSignal,
): Promise<void> {
  const sse = new SseWriter(response, context.limits);
  const tell = (event: DebateProgress) => sse.send(event, event.type);
  try {
    const answer = await runDebate(context, plan, { signal, tell });
    if (answer !== null) await sse.send({ type: "debate.done", debate: answer }, "debate.done");
  } catch (thrown) {
    await sse.send(toOpenAiError(failureOf(response, thrown)).body, "error");
  } finally {
    sse.close();
  }
}

/**
 * Holds a debate, and keeps it. @returns null: the client has left.
 * @throws ShouldersError of the engine, or the reason with which the signal was aborted
 */
export async function runDebate(
  context: ApiContext,
  plan: DebatePlan,
  { signal, tell }: { signal: AbortSignal; tell?: (event: DebateProgress) => Promise<void> },
): Promise<DebateAnswer | null> {
  const [choice] = plan.prompts;
  invariant(choice !== undefined, "a debate has one prompt");
  const { prompt, ...request } = choice.request;
  invariant(prompt.type !== "tokens", "a debate is about a text");
  try {
    const debated = await debate({
      engine: queriesOf(context, choice),
      generate: (asked, either, countsPrompt) =>
        // What is read is no answer that somebody could rate.
        runCompletion(
          context,
          { ...choice, countsPrompt, isCandidate: asked.forced !== null, request: asked },
          either,
        ),
      request: { ...request, prompt },
      candidates: plan.candidates.map(({ text }) => text),
      ...{ document: plan.document, settings: plan.debate, normalise: plan.options.normalise },
      ...{ endToken: plan.endToken, signal },
      ...(tell && { tell: (event: DebateEvent) => tellAll(event, tell) }),
    });
    const answer = answerOf(context, plan, debated);
    keep(context, choice, answer);
    return answer;
  } catch (thrown) {
    // Aborted for no reason of ours: the client has left.
    if (signal.aborted && !(signal.reason instanceof ShouldersError)) return null;
    throw thrown;
  }
}

async function tellAll(event: DebateEvent, tell: (event: DebateProgress) => Promise<void>): Promise<void> {
  switch (event.type) {
    case "delta":
      await tell({ ...event, type: "debate.argument.delta" });
      return;
    case "argued": {
      const { transcript, argument } = event;
      await tell({ type: "debate.argument.done", argument: argumentOf(argument, transcript) });
      return;
    }
    case "judged":
      for (const [member, values] of Object.entries(event.members)) {
        const probability = values.map(toRounded);
        await tell({ type: "debate.verdict.delta", transcript: event.transcript, member, probability });
      }
  }
}

const argumentOf = (
  { turn, candidate, text, heard, quotes, traceId }: Argument,
  transcript: number,
): DebateArgument => ({
  ...{ transcript, turn, candidate, text, heard },
  quotes: quotes.map((quote) => ({ text: quote.text, verified: quote.isVerified })),
  trace_id: traceId,
});

function answerOf(context: ApiContext, plan: DebatePlan, debated: Debated): DebateAnswer {
  const { id, created, model, system_fingerprint, ignored, options, debate: settings } = plan;
  const { turns, seeds, advocate, panel, orders, arguments: kind, quotes, margin } = settings;
  const { probability, orderEffect, transcripts } = debated;
  return {
    id,
    object: "fusion.debate",
    ...{ created, model, system_fingerprint, normalise: options.normalise },
    settings: { turns, seeds, advocate, panel, orders, arguments: kind, quotes, margin },
    pair: [...debated.pair],
    candidates: plan.candidates.map(({ text, label }, index) => ({
      text,
      ...(label !== null && { label }),
      probability: toRounded(probability[index] ?? 0),
      members: Object.fromEntries(
        panel.map((member) => [
          member,
          {
            with: toRounded(debated.with[member]?.[index] ?? 0),
            without: toRounded(debated.without[member]?.[index] ?? 0),
          },
        ]),
      ),
      order_effect: toRoundedOrNull(orderEffect[index] ?? null),
    })),
    arguments: transcripts.flatMap(({ arguments: said }, transcript) =>
      said.map((argument) => argumentOf(argument, transcript)),
    ),
    transcripts: transcripts.map(({ seed, first, members }) => ({
      ...{ seed, first },
      members: Object.fromEntries(
        Object.entries(members).map(([member, values]) => [member, values.map(toRounded)]),
      ),
    })),
    verdict: debated.best,
    margin: toRounded(debated.margin),
    settled: debated.isSettled,
    agreement: toRounded(Math.min(1, debated.agreement)),
    audited: auditedOf(findConfig(requireEngine(context), model), settings),
    usage: totalUsage(debated.usages, { numAnswers: 1 }),
    ...ignoredOf({ ignored }),
  };
}

const toRoundedOrNull = (value: number | null): number | null => (value === null ? null : toRounded(value));

/** With its texts only where texts are kept. */
function keep({ feedback }: ApiContext, { request, model }: ChoicePlan, answer: DebateAnswer): void {
  const kept = feedback.keepsTexts
    ? answer
    : {
        ...answer,
        candidates: answer.candidates.map(({ probability, members, order_effect }) => ({
          ...{ text: null, probability, members, order_effect },
        })),
        arguments: answer.arguments.map((argument) => ({
          ...argument,
          ...{ text: null, heard: null },
          quotes: argument.quotes.map((quote) => ({ ...quote, text: null })),
        })),
      };
  feedback.debated({ owner: request.owner, model, id: answer.id }, kept);
}

export const debatesQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20).describe("Most debates to list."),
});

/** What is kept of debates. */
export function debateRoutes({ feedback }: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/debates",
      operation: "listDebates",
      summary: "The key's debates that are kept, newest first.",
      query: debatesQuerySchema,
      json: debateListSchema,
      handler: async (request, response) => {
        const { limit } = parseRequest(debatesQuerySchema, { ...request.query });
        response.json({ object: "list", data: await feedback.debates(localsOf(response).owner, limit) });
      },
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/debates/:id",
      operation: "getDebate",
      summary: "What a debate came to; its texts only where texts are kept.",
      json: debateAnswerSchema,
      handler: async (request, response) => {
        const kept = await feedback.debate(localsOf(response).owner, request.params.id);
        if (kept === null)
          throw new ShouldersError(
            "trace_not_found",
            "No debate of yours has this id: it is too old, it was forgotten, or it never was.",
            { param: "id" },
          );
        response.json(kept);
      },
    }),
  ];
}
