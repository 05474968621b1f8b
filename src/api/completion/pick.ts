import { present } from "../../errors.js";
import { likelihood, type HeadName } from "../../feedback/heads.js";
import { BagWriter } from "../../feedback/bag.js";
import type { GenerationEvent, Usage } from "../../protocol/protocol.js";
import type { ApiContext } from "../context.js";
import { choicesOf, type ChoicePlan, type RequestPlan } from "./plan.js";
import type { ChoiceEvent } from "./choice-event.js";
import { keepAnswer } from "./run-completion.js";
import { sumUsage } from "./sum-usage.js";

type Done = Extract<GenerationEvent, { type: "done" }>;

/** One of several answers, whole. */
interface Candidate {
  events: ChoiceEvent["event"][];
  done: Done | null;
  bag: BagWriter;
  text: string;
}

/**
 * Of several answers to a prompt the one that is best by `fusion.pick`, once all are there; it counts the tokens of all.
 * Its trace and its numbers are those of the answer's id; the others' are under ids of their own.
 *
 * @param events of the candidates of `choicesOf`
 */
export async function* pickBest(
  context: ApiContext,
  plan: RequestPlan & { pick: NonNullable<RequestPlan["pick"]> },
  events: AsyncIterable<ChoiceEvent>,
): AsyncGenerator<ChoiceEvent, void> {
  const candidates: Candidate[] = [];
  for await (const { index, event } of events) {
    const candidate = (candidates[index] ??= { events: [], done: null, bag: new BagWriter(), text: "" });
    candidate.events.push(event);
    if (event.type === "delta") candidate.text += event.text;
    if (event.type === "done") candidate.done = event;
    if (event.type === "delta" || event.type === "done")
      for (const { record } of event.tokens) candidate.bag.add(record);
  }
  const ended = candidates.flatMap(({ done }) => done ?? []);
  // Otherwise the client has left.
  if (ended.length < plan.pick.of) return;
  const { head, predict } = await judgeOf(context, plan);
  const scores = candidates.map(({ bag }) => predict(bag.values));
  const best = scores.indexOf(Math.max(...scores));
  const chosen = present(candidates[best], "best answer");
  const choice: ChoicePlan = present(choicesOf(plan)[best], "best choice");
  context.traces.rename(choice.request.requestId, plan.id);
  const request = { ...choice.request, requestId: plan.id };
  keepAnswer(context, { ...choice, request }, chosen.bag, chosen.text);
  const usage = sumUsage(
    ended.map((done) => done.usage),
    plan.pick.of,
  );
  for (const event of chosen.events)
    yield {
      index: 0,
      event: event.type === "done" ? picked(event, usage, { of: plan.pick.of, head }) : event,
    };
}

const picked = (done: Done, usage: Usage, how: { of: number; head: HeadName }): Done => ({
  ...done,
  usage,
  outlook: { ...done.outlook, picked: how },
});

/** By what answers are compared. @throws ShouldersError `store_unavailable` */
async function judgeOf({ credit }: ApiContext, { pick, request, model, draw }: RequestPlan) {
  const sumOf = (bag: Float64Array) => likelihood.credits(bag).reduce((sum, part) => sum + part, 0);
  if (pick?.by !== "predicted") return { head: likelihood.name, predict: sumOf };
  const { head } = await credit.head({ owner: request.owner, model, policy: draw?.id ?? null });
  return { head: head.name, predict: head.name === "likelihood" ? sumOf : head.predict };
}
