import {
  pinBodySchema,
  policiesSchema,
  creditBodySchema,
  creditSchema,
  feedbackBodySchema,
  feedbackDeletedSchema,
  feedbackForgottenSchema,
  feedbackListSchema,
  feedbackSchema,
} from "../wire/feedback.js";
import type { ApiContext } from "./context.js";
import { giveCredit } from "./fusion/credit.js";
import {
  createFeedback,
  deleteFeedback,
  feedbackQuerySchema,
  forgetFeedback,
  getFeedback,
  listFeedback,
} from "./fusion/feedback.js";
import { forgetPolicies, getPolicies, pinPolicy } from "./fusion/policies.js";
import { jsonRoute, type Route } from "./route.js";

/** What people say of answers, and what is learned from it. */
export function feedbackRoutes(context: ApiContext): Route[] {
  return [...ratingRoutes(context), ...learnedRoutes(context)];
}

function learnedRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/policies/:id",
      operation: "getPolicies",
      summary: "What the key's ratings say of a model's policies.",
      json: policiesSchema,
      handler: getPolicies(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/policies/:id",
      operation: "pinPolicy",
      summary: "Pin one of a model's policies for the key, or let ratings choose again.",
      body: pinBodySchema,
      json: policiesSchema,
      handler: pinPolicy(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/fusion/policies/:id",
      operation: "forgetPolicies",
      summary: "Forget the key's ratings of a model's answers.",
      json: feedbackForgottenSchema,
      handler: forgetPolicies(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/credit",
      operation: "giveCredit",
      summary: "What each token of an answer adds to the rating that the key's raters would probably give.",
      body: creditBodySchema,
      json: creditSchema,
      handler: giveCredit(context),
    }),
  ];
}

function ratingRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/feedback",
      operation: "createFeedback",
      summary: "Rate an answer of the key's, whole or in spans; a second rating replaces the first.",
      body: feedbackBodySchema,
      json: feedbackSchema,
      handler: createFeedback(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/feedback",
      operation: "listFeedback",
      summary: "The key's ratings, newest first, and their means.",
      query: feedbackQuerySchema,
      json: feedbackListSchema,
      handler: listFeedback(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/fusion/feedback",
      operation: "forgetFeedback",
      summary: "Forget all of the key's ratings, and what was kept of its answers.",
      json: feedbackForgottenSchema,
      handler: forgetFeedback(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/feedback/:id",
      operation: "getFeedback",
      summary: "The rating of an answer.",
      json: feedbackSchema,
      handler: getFeedback(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/fusion/feedback/:id",
      operation: "deleteFeedback",
      summary: "Take a rating back.",
      json: feedbackDeletedSchema,
      handler: deleteFeedback(context),
    }),
  ];
}
