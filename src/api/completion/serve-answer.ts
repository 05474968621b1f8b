import type { Response } from "express";
import { ShouldersError } from "../../errors.js";
import type { GenerationEvent } from "../../protocol/protocol.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";
import { outcomeOf } from "../metrics.js";
import { localsOf } from "../middleware/locals.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { AnswerBudget } from "./answer-budget.js";
import { nameAnswer } from "./answering.js";
import { choicesOf, type ChoicePlan, type RequestPlan } from "./plan.js";
import { withPolicy } from "./policy.js";
import { runChoices } from "./run-choices.js";
import { runCompletion } from "./run-completion.js";

/** Writes an answer of one choice, whole or as events, which are named by their type where they have one. */
export interface AnswerWriter<Whole, Event extends object> {
  /** Whether a stream ends with all that it has told. */
  readonly repeatsAll: boolean;
  /** What a client gets to see of what happened. */
  events(event: GenerationEvent): Event[];
  /** The answer, when it is over. */
  whole(): Whole;
  /** The last events of a stream that cannot go on. */
  failed(error: ShouldersError): Event[];
}

interface Asked {
  context: ApiContext;
  response: Response;
  plan: RequestPlan;
}

/**
 * Runs a completion of one choice and answers it, as a stream where the plan says so. Nothing is sent before the first
 * token: whatever fails until then has a real status.
 *
 * @throws ShouldersError of the engine, as long as nothing was sent
 */
export async function serveAnswer<Whole, Event extends object>(
  { context, response, plan }: Asked,
  writer: AnswerWriter<Whole, Event>,
): Promise<void> {
  nameAnswer(response, plan);
  const signal = closedSignal(response, context.cut);
  const isHeld = !plan.isStream || writer.repeatsAll;
  const bounded = isHeld ? heldEvents(context, plan, signal) : eventsOf(context, plan, signal);
  if (plan.isStream) {
    await stream({ context, response, plan }, bounded, writer);
    return;
  }
  let isOver = false;
  for await (const event of bounded) {
    writer.events(event);
    isOver = event.type === "done";
  }
  // Otherwise the client has left.
  if (isOver) response.json(writer.whole());
}

/** The events of an answer that is held until it is whole. @throws ShouldersError of the engine, or when it is too much */
export function heldEvents(
  context: ApiContext,
  plan: RequestPlan,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent, void> {
  const budget = new AnswerBudget(plan, findConfig(requireEngine(context), plan.model));
  return within(budget, eventsOf(context, plan, signal));
}

async function* eventsOf(
  context: ApiContext,
  plan: RequestPlan,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent, void> {
  const drawn = plan.pick === null ? await withPolicy(context, plan) : plan;
  const [only] = choicesOf(drawn) as [ChoicePlan];
  if (plan.pick === null) yield* runCompletion(context, only, signal);
  // Only completions give a prompt back.
  else
    for await (const { event } of runChoices(context, plan, signal)) if (event.type !== "echo") yield event;
}

/** @throws ShouldersError when there come to be more tokens than an answer in one piece may tell of */
async function* within(
  budget: AnswerBudget,
  events: AsyncIterable<GenerationEvent>,
): AsyncGenerator<GenerationEvent, void> {
  for await (const event of events) {
    if (event.type !== "accepted") budget.take(event.tokens.length);
    yield event;
  }
}

async function stream<Whole, Event extends object>(
  { context, response }: Asked,
  events: AsyncIterable<GenerationEvent>,
  writer: AnswerWriter<Whole, Event>,
): Promise<void> {
  const sse = new SseWriter(response, context.limits);
  const send = async (sent: Event[]) => {
    for (const event of sent) await sse.send(event, eventName(event));
  };
  try {
    for await (const event of events) await send(writer.events(event));
  } catch (thrown) {
    await send(writer.failed(failureOf(response, thrown)));
  } finally {
    sse.close();
  }
}

/**
 * What ended a stream, noted for log and metrics.
 * @throws `thrown` itself, where nothing was sent yet and the answer can have a status
 */
export function failureOf(response: Response, thrown: unknown): ShouldersError {
  if (!response.headersSent) throw thrown;
  const error = ShouldersError.from(thrown);
  const locals = localsOf(response);
  locals.outcome = outcomeOf(error.status);
  locals.error = error;
  return error;
}

/** What an event is called on the wire. */
export function eventName(event: object): string | null {
  return "type" in event && typeof event.type === "string" ? event.type : null;
}
