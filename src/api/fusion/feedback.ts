import type { RequestHandler } from "express";
import { z } from "zod";
import type { FeedbackLog, Rating } from "../../feedback/feedback-log.js";
import { notRateable } from "../../feedback/feedback-log.js";
import {
  feedbackBodySchema,
  type Feedback,
  type FeedbackDeleted,
  type FeedbackForgotten,
  type FeedbackList,
  type GivenFeedback,
} from "../../wire/feedback.js";
import { toRounded } from "../../wire/numbers.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";

export const feedbackQuerySchema = z.strictObject({
  model: z.string().optional().describe("Only ratings of this model's answers."),
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe("Most ratings to list."),
  after: z.string().optional().describe("Trace of the last rating of the page before."),
});

export type FeedbackQuery = z.output<typeof feedbackQuerySchema>;

/** `POST /v1/fusion/feedback`: rates an answer, or rates it anew. */
export function createFeedback({ feedback }: ApiContext): RequestHandler<object, Feedback> {
  return async (request, response) => {
    const given = parseRequest(feedbackBodySchema, request.body);
    response.status(201).json(await rate(feedback, localsOf(response).owner, given));
  };
}

/** `GET /v1/fusion/feedback`: the key's ratings, newest first, and what they come to. */
export function listFeedback({ feedback }: ApiContext): RequestHandler<object, FeedbackList> {
  return async (request, response) => {
    const query = parseRequest(feedbackQuerySchema, { ...request.query });
    response.json(await listOf(feedback, localsOf(response).owner, query));
  };
}

/** `GET /v1/fusion/feedback/{trace}` */
export function getFeedback({ feedback }: ApiContext): RequestHandler<{ id: string }, Feedback> {
  return async (request, response) => {
    const rating = await feedback.get(localsOf(response).owner, request.params.id);
    if (rating === null) throw notRateable();
    response.json(toFeedback(rating));
  };
}

/** `DELETE /v1/fusion/feedback/{trace}`: as if the answer had never been rated. */
export function deleteFeedback({ feedback }: ApiContext): RequestHandler<{ id: string }, FeedbackDeleted> {
  return async (request, response) => {
    response.json(await unrate(feedback, localsOf(response).owner, request.params.id));
  };
}

/** `DELETE /v1/fusion/feedback`: nothing of the key's ratings and rated answers is left. */
export function forgetFeedback({ feedback }: ApiContext): RequestHandler<object, FeedbackForgotten> {
  return async (_request, response) => {
    const forgotten = await feedback.forget(localsOf(response).owner);
    response.json({ object: "fusion.feedback", forgotten });
  };
}

/** @throws ShouldersError `trace_not_found`, `invalid_request`, `store_unavailable` */
export async function rate(log: FeedbackLog, owner: string, given: GivenFeedback): Promise<Feedback> {
  const { trace, score, rating, spans, note } = given;
  const rated = await log.rate(owner, {
    ...{ trace, spans: spans ?? [], note: note ?? null },
    score: score ?? Number(rating === "up"),
  });
  const isIgnored = note != null && rated.note === null;
  return { ...toFeedback(rated), ...(isIgnored && { fusion: { ignored: ["note"] } }) };
}

/** @throws ShouldersError `trace_not_found`, `store_unavailable` */
export async function unrate(log: FeedbackLog, owner: string, trace: string): Promise<FeedbackDeleted> {
  if (!(await log.unrate(owner, trace))) throw notRateable();
  return { object: "fusion.feedback", trace, deleted: true };
}

/** @throws ShouldersError `trace_not_found` for an `after` that is not in the list, `store_unavailable` */
export async function listOf(
  log: FeedbackLog,
  owner: string,
  { model, limit, after }: FeedbackQuery,
): Promise<FeedbackList> {
  const all = await log.ratings(owner);
  const shown = all.filter((rating) => model === undefined || rating.model === model).reverse();
  const start = after === undefined ? 0 : shown.findIndex(({ trace }) => trace === after) + 1;
  if (after !== undefined && start === 0) throw notRateable();
  const data = shown.slice(start, start + limit);
  return {
    object: "list",
    data: data.map(toFeedback),
    has_more: start + data.length < shown.length,
    summary: summaryOf(all),
  };
}

function summaryOf(ratings: readonly Rating[]): FeedbackList["summary"] {
  const scores = new Map<string, number[]>();
  for (const { model, score } of ratings) scores.set(model, [...(scores.get(model) ?? []), score]);
  const entries = [...scores].map(([model, all]) => {
    const sum = all.reduce((total, score) => total + score, 0);
    return [model, { ratings: all.length, mean: toRounded(sum / all.length) }];
  });
  return Object.fromEntries(entries) as FeedbackList["summary"];
}

function toFeedback({ trace, model, at, score, spans, note, policy }: Rating): Feedback {
  return {
    object: "fusion.feedback",
    ...{ trace, model, created: Math.floor(at / 1000), score, spans, note },
    policy: policy && { id: policy.id, probability: toRounded(policy.probability) },
  };
}
