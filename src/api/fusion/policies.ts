import type { RequestHandler } from "express";
import type { PoliciesConfig } from "../../config/policies.js";
import { fieldError, ShouldersError } from "../../errors.js";
import { foldRatings, halfWidth, regretBound, type Folded, type RatedDraw } from "../../feedback/fold.js";
import { nextDraw, type PolicyRules } from "../../feedback/policy-desk.js";
import { pinBodySchema, type FeedbackForgotten, type Policies } from "../../wire/feedback.js";
import { keyed, toRounded } from "../../wire/numbers.js";
import { rulesOf } from "../completion/policy.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";

/** Points of a history. */
const mostPoints = 50;

/** `GET /v1/fusion/policies/{config}`: what the key's ratings say of each policy. */
export function getPolicies(context: ApiContext): RequestHandler<{ id: string }, Policies> {
  return async (request, response) => {
    response.json(await standingOf(context, localsOf(response).owner, request.params.id));
  };
}

/** `POST /v1/fusion/policies/{config}`: one answers from now on, or ratings choose again. */
export function pinPolicy(context: ApiContext): RequestHandler<{ id: string }, Policies> {
  return async (request, response) => {
    const { pin } = parseRequest(pinBodySchema, request.body);
    const { owner } = localsOf(response);
    const { id: model } = request.params;
    const { arms } = policiesOf(context, model);
    if (pin !== null && !(pin in arms))
      throw fieldError("pin", `no policy "${pin}"; known: ${Object.keys(arms).join(", ")}`);
    await context.policies.pin({ owner, model }, pin);
    response.json(await standingOf(context, owner, model));
  };
}

/** `DELETE /v1/fusion/policies/{config}`: all policies are as if nobody had rated. */
export function forgetPolicies(context: ApiContext): RequestHandler<{ id: string }, FeedbackForgotten> {
  return async (request, response) => {
    const { id: model } = request.params;
    policiesOf(context, model);
    const forgotten = await context.feedback.forget(localsOf(response).owner, model);
    response.json({ object: "fusion.feedback", forgotten });
  };
}

/** @throws ShouldersError `model_not_found`, also for one without policies */
function policiesOf(context: ApiContext, id: string): PoliciesConfig {
  const { policies } = findConfig(requireEngine(context), id);
  if (policies === null)
    throw new ShouldersError("model_not_found", `Model "${id}" has no policies: its config names none.`);
  return policies;
}

async function standingOf(context: ApiContext, owner: string, model: string): Promise<Policies> {
  const policies = policiesOf(context, model);
  const rules = rulesOf(policies);
  const { folded, draws, pinned } = await context.policies.standing({ owner, model }, rules);
  const { probabilities } = nextDraw(folded, rules);
  const { choose, explore, halfLife } = policies;
  const numDrawn = draws.filter(({ isDrawn, policy }) => isDrawn && rules.ids.includes(policy)).length;
  return {
    object: "fusion.policies",
    ...{ model, choose, explore, half_life: halfLife, pinned, ratings: numDrawn },
    regret_bound: halfLife === null ? toRounded(regretBound(numDrawn, rules.ids.length)) : null,
    policies: rules.ids.map((id, at) => {
      const chance = pinned === null ? (probabilities[at] ?? 0) : Number(pinned === id);
      return { id, probability: toRounded(chance), ...meanOf(folded, at) };
    }),
    history: historyOf(draws, rules),
  };
}

function meanOf({ counts, scores, squares }: Folded, at: number) {
  const [count, sum] = [counts[at] ?? 0, scores[at] ?? 0];
  if (count === 0) return { ratings: 0, mean: null, low: null, high: null };
  const mean = sum / count;
  const width = halfWidth(count, sum, squares[at] ?? 0);
  const within = (value: number) => toRounded(Math.min(1, Math.max(0, value)));
  return { ratings: count, mean: within(mean), low: within(mean - width), high: within(mean + width) };
}

function historyOf(draws: readonly RatedDraw[], rules: PolicyRules): Policies["history"] {
  const numPoints = Math.min(mostPoints, draws.length + 1);
  return Array.from({ length: numPoints }, (_, point) => {
    const ratings = numPoints === 1 ? 0 : Math.round((point / (numPoints - 1)) * draws.length);
    const { probabilities } = nextDraw(
      foldRatings(draws.slice(0, ratings), rules.ids, rules.halfLife),
      rules,
    );
    return { ratings, probabilities: keyed(rules.ids, probabilities.map(toRounded)) };
  });
}
