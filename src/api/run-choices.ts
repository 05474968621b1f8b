import type { GeneratedToken, GenerationEvent } from "../engine/protocol.js";
import type { ApiContext } from "./context.js";
import { echoOf, type Echo } from "./openai/echo.js";
import { choicesOf, type CompletionPlan } from "./openai/plan.js";
import { runCompletion } from "./run-completion.js";

/** `index`: of the choice. An `echo`, where one was asked for, is a choice's first event. */
export interface ChoiceEvent {
  index: number;
  event: GenerationEvent | { type: "echo"; echo: Echo };
}

/**
 * The events of all choices of a request, interleaved as they come; each choice is a completion of its own for
 * the engine, which reads a prompt that they share once. When one fails, or the reader leaves, all end.
 *
 * @throws ShouldersError of the choice that failed first
 */
export async function* runChoices(
  context: ApiContext,
  plan: CompletionPlan,
  signal: AbortSignal,
): AsyncGenerator<ChoiceEvent, void> {
  const own = new AbortController();
  let runs: AsyncGenerator<GenerationEvent, void>[] = [];
  const either = AbortSignal.any([signal, own.signal]);
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
  } finally {
    own.abort();
    await Promise.allSettled(runs.map((run) => run.return()));
  }
}

/** Reads all sources at the same time, each one event ahead of the reader. */
async function* merge(sources: AsyncGenerator<GenerationEvent, void>[]): AsyncGenerator<ChoiceEvent, void> {
  type Step = { index: number; result: IteratorResult<GenerationEvent, void> };
  const pending = new Map<number, Promise<Step>>();
  const advance = (index: number, source: AsyncGenerator<GenerationEvent, void>) => {
    const step = source.next().then((result) => ({ index, result }));
    // Looked at in its turn; until then a failure is not unhandled.
    step.catch(() => undefined);
    pending.set(index, step);
  };
  sources.forEach((source, index) => advance(index, source));
  while (pending.size > 0) {
    const { index, result } = await Promise.race(pending.values());
    pending.delete(index);
    if (result.done) continue;
    advance(index, sources[index] as AsyncGenerator<GenerationEvent, void>);
    yield { index, event: result.value };
  }
}

/** What an answer that is not streamed is made of. */
export interface CollectedChoice {
  echo: Echo | null;
  text: string;
  tokens: GeneratedToken[];
  done: Extract<GenerationEvent, { type: "done" }> | null;
}

export async function collectChoices(events: AsyncIterable<ChoiceEvent>): Promise<CollectedChoice[]> {
  const choices: CollectedChoice[] = [];
  for await (const { index, event } of events) {
    const choice = (choices[index] ??= { echo: null, text: "", tokens: [], done: null });
    if (event.type === "echo") choice.echo = event.echo;
    else if (event.type === "done") choice.done = event;
    else if (event.type === "delta") {
      choice.text += event.text;
      choice.tokens.push(...event.tokens);
    }
  }
  return choices;
}
