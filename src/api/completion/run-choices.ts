import { setMaxListeners } from "node:events";
import type { GeneratedToken, GenerationEvent } from "../../protocol/protocol.js";
import { ShouldersError } from "../../errors.js";
import type { AnswerBudget } from "./answer-budget.js";
import type { ApiContext } from "../context.js";
import type { ChoiceEvent } from "./choice-event.js";
import { echoOf, type Echo } from "./echo.js";
import { pickBest } from "./pick.js";
import { choicesOf, type RequestPlan } from "./plan.js";
import { withPolicy } from "./policy.js";
import { runCompletion } from "./run-completion.js";

export type { ChoiceEvent } from "./choice-event.js";

/** The events of a request's choices, where it picks of the one that was best. @throws ShouldersError of any of them */
export async function* runChoices(
  context: ApiContext,
  plan: RequestPlan,
  signal: AbortSignal,
): AsyncGenerator<ChoiceEvent, void> {
  const drawn = await withPolicy(context, plan);
  const { pick } = drawn;
  const all = runAll(context, drawn, signal);
  yield* pick === null ? all : pickBest(context, { ...drawn, pick }, all);
}

/**
 * The events of all choices of a request, interleaved as they come; each choice is a completion of its own for
 * the engine, which reads a prompt that they share once. When one fails, or the reader leaves, all end.
 *
 * @throws ShouldersError of the choice that failed first
 */
async function* runAll(
  context: ApiContext,
  plan: RequestPlan,
  signal: AbortSignal,
): AsyncGenerator<ChoiceEvent, void> {
  const own = new AbortController();
  let runs: AsyncGenerator<GenerationEvent, void>[] = [];
  const either = AbortSignal.any([signal, own.signal]);
  // Every choice listens.
  setMaxListeners(0, either);
  try {
    const choices = choicesOf(plan);
    const prompts = plan.isEchoed ? plan.prompts : [];
    const echoes = await Promise.all(prompts.map((prompt) => echoOf(context, plan, prompt, either)));
    // Nothing is told before all are accepted: until then a refusal has a status of its own.
    const held: ChoiceEvent[] = [];
    let numAccepted = 0;
    runs = choices.map((choice) => runCompletion(context, choice, either));
    for await (const happened of merge(runs)) {
      const { index, event } = happened;
      held.push(happened);
      const echo = echoes[Math.floor(index / plan.numAnswers)];
      if (event.type === "accepted") {
        numAccepted++;
        if (echo) held.push({ index, event: { type: "echo", echo } });
      }
      if (numAccepted === choices.length) yield* held.splice(0);
    }
  } catch (thrown) {
    // Aborted for no reason of ours: the client has left.
    if (!signal.aborted || signal.reason instanceof ShouldersError) throw thrown;
  } finally {
    own.abort();
    await Promise.allSettled(runs.map((run) => run.return()));
  }
}

/** Reads all sources at the same time, each one event ahead of the reader; an event costs the same however many there are. */
async function* merge(sources: AsyncGenerator<GenerationEvent, void>[]): AsyncGenerator<ChoiceEvent, void> {
  type Step = { index: number; result: IteratorResult<GenerationEvent, void> } | { thrown: unknown };
  const steps: Step[] = [];
  let wake: () => void = () => undefined;
  const arrive = (step: Step) => {
    steps.push(step);
    wake();
  };
  const advance = (index: number) => {
    const next = (sources[index] as AsyncGenerator<GenerationEvent, void>).next();
    next.then(
      (result) => arrive({ index, result }),
      (thrown: unknown) => arrive({ thrown }),
    );
  };
  sources.forEach((_, index) => advance(index));
  for (let numOpen = sources.length; numOpen > 0;) {
    const step = steps.shift();
    if (step === undefined) await new Promise<void>((resolve) => (wake = resolve));
    else if ("thrown" in step) throw step.thrown;
    else if (step.result.done) numOpen--;
    else {
      advance(step.index);
      yield { index: step.index, event: step.result.value };
    }
  }
}

/** What an answer that is not streamed is made of. */
export interface CollectedChoice {
  echo: Echo | null;
  /** What was thought before the text. */
  reasoning: string;
  text: string;
  tokens: GeneratedToken[];
  done: Extract<GenerationEvent, { type: "done" }> | null;
}

/** @throws ShouldersError as the events do, and when there comes to be too much of them. */
export async function collectChoices(
  events: AsyncIterable<ChoiceEvent>,
  budget: AnswerBudget,
): Promise<CollectedChoice[]> {
  const choices: CollectedChoice[] = [];
  for await (const { index, event } of events) {
    if (event.type === "echo") budget.take(event.echo.scored?.others.length ?? 0);
    else if (event.type !== "accepted") budget.take(event.tokens.length);
    const choice = (choices[index] ??= { echo: null, reasoning: "", text: "", tokens: [], done: null });
    if (event.type === "echo") choice.echo = event.echo;
    else if (event.type === "done") choice.done = event;
    else if (event.type === "delta") {
      choice.reasoning += event.reasoning ?? "";
      choice.text += event.text;
      choice.tokens.push(...event.tokens);
    }
  }
  return choices;
}
