import { noUsage } from "../../protocol/protocol.js";
import type { GenerationEvent, Usage } from "../../protocol/protocol.js";
import { ShouldersError } from "../../errors.js";
import { BagWriter } from "../../feedback/bag.js";
import type { TraceEnding } from "../../trace/store.js";
import type { ApiContext } from "../context.js";
import type { Outlook } from "../../protocol/protocol.js";
import type { ChoicePlan } from "./plan.js";
import { toRounded } from "../../wire/numbers.js";
import { recordsOf, toUsage } from "./records.js";

/**
 * The engine's events of one completion, with what every transport owes: its trace and its metrics. Ends
 * without `done` only when the signal was aborted; leaving the loop early cancels the completion.
 *
 * @throws ShouldersError of the engine, or the reason with which the signal was aborted
 */
export async function* runCompletion(
  context: ApiContext,
  plan: ChoicePlan,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent, void> {
  // Read anew each time: it changes while we wait.
  const isAborted = () => signal.aborted;
  if (isAborted()) {
    if (signal.reason instanceof ShouldersError) throw signal.reason;
    return;
  }
  const { request } = plan;
  const timer = context.metrics.startCompletion(request.configId, request.owner);
  let isAccepted = false;
  let queueMs: number | null = null;
  let usage: Usage = noUsage;
  const bag = new BagWriter();
  let text = "";
  let ending: Pick<TraceEnding, "status" | "finish_reason"> = { status: "cancelled", finish_reason: null };
  try {
    for await (const event of context.engine.generate(request, signal)) {
      if (event.type === "accepted") {
        isAccepted = true;
        usage = { ...usage, promptTokens: event.promptTokens };
        beginTrace(context, plan, event.promptTokens);
      } else {
        context.traces.append(request.requestId, recordsOf(event.tokens, plan.keeps));
        timer.tokens(event.tokens.map(({ record }) => record));
        for (const { record } of event.tokens) bag.add(record);
        if (event.type === "delta") text += event.text;
        usage = { ...usage, completionTokens: usage.completionTokens + event.tokens.length };
      }
      if (event.type === "done") {
        usage = event.usage;
        queueMs = event.queueMs;
        ending = {
          status: event.finishReason === "stop" ? "completed" : "incomplete",
          finish_reason: event.finishReason,
        };
      }
      yield event.type === "done" ? withOutlook(event, outlookOf(context, plan, bag)) : event;
    }
    if (ending.finish_reason === null)
      throw new ShouldersError("internal", "The engine's events ended without done.");
  } catch (thrown) {
    const cause: unknown = isAborted() ? signal.reason : thrown;
    // Aborted for no reason of ours: the client has left.
    if (isAborted() && !(cause instanceof ShouldersError)) return;
    ending = { status: "failed", finish_reason: null };
    const error = ShouldersError.from(cause);
    throw error.param === null ? error : error.at(plan.fieldName(error.param));
  } finally {
    context.traces.end(request.requestId, { ...ending, usage: toUsage(usage) });
    if (isAccepted) timer.end(countedUsage(plan, usage), queueMs);
    if (ending.status !== "failed" && bag.numTokens > 0 && !plan.isCandidate)
      keepAnswer(context, plan, bag, text);
  }
}

/** The usage that a completion counts: of several answers to one prompt the first counts it. */
function countedUsage({ countsPrompt }: ChoicePlan, usage: Usage): Usage {
  return countsPrompt ? usage : { ...usage, promptTokens: 0, cachedTokens: 0 };
}

type Done = Extract<GenerationEvent, { type: "done" }>;

const withOutlook = (done: Done, outlook: Outlook): Done =>
  Object.keys(outlook).length > 0 ? { ...done, outlook } : done;

function outlookOf(
  { feedback, credit }: ApiContext,
  { request, model, draw }: ChoicePlan,
  bag: BagWriter,
): Outlook {
  const policy = draw && { id: draw.id, probability: toRounded(draw.probability) };
  const place = { owner: request.owner, model, policy: draw?.id ?? null };
  const known = feedback.trouble === null ? credit.known(place) : null;
  const isLearned = known !== null && known.ratings > 0;
  return {
    ...(isLearned && { predicted: toRounded(known.head.predict(bag.values)) }),
    ...(policy && { policy }),
  };
}

/** What a rating of the answer will be understood by. */
export function keepAnswer(
  { feedback }: ApiContext,
  { request, model, draw }: ChoicePlan,
  bag: BagWriter,
  text: string,
): void {
  const { owner, requestId: trace, prompt } = request;
  const texts = feedback.keepsTexts ? { texts: { prompt, answer: text } } : {};
  feedback.answered({ owner, model, trace }, { bag, policy: draw, ...texts });
}

function beginTrace(
  { traces }: ApiContext,
  { request, model, created, keeps }: ChoicePlan,
  promptTokens: number,
) {
  if (keeps === "off") return;
  const { requestId: id, owner } = request;
  traces.begin({ id, owner, model, created, level: keeps, prompt_tokens: promptTokens });
}
