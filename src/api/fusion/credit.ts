import type { RequestHandler } from "express";
import { readBag } from "../../feedback/bag.js";
import { notRateable } from "../../feedback/feedback-log.js";
import { creditBodySchema, type Credit } from "../../wire/feedback.js";
import { toRounded } from "../../wire/numbers.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";

/** `POST /v1/fusion/credit`: what each token of an answer adds to the rating that raters would probably give. */
export function giveCredit({ feedback, credit }: ApiContext): RequestHandler<object, Credit> {
  return async (request, response) => {
    const { trace } = parseRequest(creditBodySchema, request.body);
    const { owner } = localsOf(response);
    const answer = await feedback.answer(owner, trace);
    if (answer === null) throw notRateable();
    const { model, policy } = answer;
    const { head, ratings, concordance } = await credit.head({ owner, model, policy: policy?.id ?? null });
    const bag = readBag(answer.bag);
    const weights =
      head.weights && Object.entries(head.weights).map(([name, weight]) => [name, toRounded(weight)]);
    response.json({
      object: "fusion.credit",
      ...{ trace, model, head: head.name, ratings },
      concordance: concordance && toRounded(concordance),
      predicted: toRounded(head.predict(bag)),
      tokens: head.credits(bag).map((value, index) => ({ index, credit: value })),
      weights: weights && (Object.fromEntries(weights) as Record<string, number>),
    });
  };
}
