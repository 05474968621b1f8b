import { noUsage } from "../../protocol/protocol.js";
import type { FusionUsage, GeneratedToken, GenerationEvent, Usage } from "../../protocol/protocol.js";
import type { TokenRecord } from "../../trace/record.js";
import type { UsageRecord } from "../../trace/store.js";
import type { ChoiceEvent, CollectedChoice } from "../completion/run-choices.js";
import { ChatFormat, TextFormat, type ChoiceFormat } from "./choice-format.js";
import type { RequestPlan } from "../completion/plan.js";

type Tokens = readonly GeneratedToken[];
type Done = Extract<GenerationEvent, { type: "done" }>;
type Shown = Exclude<ChoiceEvent["event"], { type: "accepted" }>;

/** Writes the bodies of one completion, whole or in chunks. */
export class CompletionWriter {
  readonly #plan: RequestPlan;
  /** The format of each choice, by its index. */
  readonly #formats: ChoiceFormat[];
  readonly #hasOpened = new Set<number>();
  /** The usage of each choice that has ended, by its index. */
  readonly #usages: Usage[] = [];
  #hasTold = false;

  constructor(plan: RequestPlan) {
    this.#plan = plan;
    this.#formats = formatsOf(plan);
  }

  /** Whether every choice has ended. */
  get isComplete(): boolean {
    return Object.keys(this.#usages).length === this.#formats.length;
  }

  /** The chunks in which a client gets to see an event. */
  chunks({ index, event }: ChoiceEvent): object[] {
    if (event.type === "accepted") return [];
    const format = this.#formats[index] as ChoiceFormat;
    const opening = this.#hasOpened.has(index) ? null : format.opening();
    this.#hasOpened.add(index);
    if (event.type === "done") this.#usages[index] = event.usage;
    const choices = [opening, ...this.#choices(format, event)].filter((choice) => choice !== null);
    return choices.map((choice) => ({ ...this.#chunk([choice]), ...this.#ignoredOnce() }));
  }

  /** The chunk after the last one, where the client asked for it. */
  usage(): object | null {
    return this.#plan.includeUsage ? this.#chunk([], this.#totalUsage()) : null;
  }

  whole(collected: readonly CollectedChoice[]): object {
    const { kind } = this.#plan;
    const choices = collected.map(({ done, ...answer }, index) => {
      const { tokens, finishReason, usage } = done as Done;
      this.#usages[index] = usage;
      const body = (this.#formats[index] as ChoiceFormat).whole(answer, finishReason);
      return this.#withFusion(body, [...answer.tokens, ...tokens]);
    });
    const object = kind === "chat" ? "chat.completion" : "text_completion";
    return { ...this.#envelope(object), choices, usage: this.#totalUsage(), ...ignoredOf(this.#plan) };
  }

  #choices(format: ChoiceFormat, event: Shown): (object | null)[] {
    switch (event.type) {
      case "echo":
        return [format.echo(event.echo)];
      case "delta": {
        const isTraced = this.#isTraced && event.tokens.length > 0;
        const choice = format.delta(event.text, event.tokens, isTraced);
        return [choice && this.#withFusion(choice, event.tokens)];
      }
      case "done":
        return [format.rest(), this.#withFusion(format.ending(event.finishReason), event.tokens)];
    }
  }

  /** The first chunk tells what was ignored. */
  #ignoredOnce(): object {
    if (this.#hasTold) return {};
    this.#hasTold = true;
    return ignoredOf(this.#plan);
  }

  get #isTraced(): boolean {
    return this.#plan.request.trace !== "off";
  }

  #withFusion(choice: object, tokens: Tokens): object {
    if (!this.#isTraced || tokens.length === 0) return choice;
    return { ...choice, fusion: { tokens: recordsOf(tokens) } };
  }

  #envelope(object: string) {
    const { id, created, model, systemFingerprint } = this.#plan;
    return { id, object, created, model, system_fingerprint: systemFingerprint };
  }

  #chunk(choices: object[], usage: UsageRecord | null = null): object {
    const object = this.#plan.kind === "chat" ? "chat.completion.chunk" : "text_completion";
    const chunk = { ...this.#envelope(object), choices };
    return this.#plan.includeUsage ? { ...chunk, usage } : chunk;
  }

  #totalUsage(): UsageRecord {
    return totalUsage(this.#usages, this.#plan);
  }
}

/** What an answer says of fields that were ignored, if any were. */
export function ignoredOf({ ignored }: Pick<RequestPlan, "ignored">): { fusion?: { ignored: string[] } } {
  return ignored.length > 0 ? { fusion: { ignored } } : {};
}

/** One for each choice. */
export function formatsOf({ kind, prompts, numAnswers, request, toolForm }: RequestPlan): ChoiceFormat[] {
  const hasLogprobs = request.topLogprobs !== null;
  const Format = kind === "chat" ? ChatFormat : TextFormat;
  return Array.from(
    { length: prompts.length * numAnswers },
    (_, index) => new Format({ index, hasLogprobs, toolForm }),
  );
}

/** @param usages by index of the choice; a prompt counts once, however many answers it has. */
export function totalUsage(usages: readonly Usage[], { numAnswers }: RequestPlan): UsageRecord {
  const total: Usage = { ...noUsage };
  usages.forEach((usage, index) => {
    total.completionTokens += usage.completionTokens;
    total.fusion = addFusion(total.fusion, usage.fusion);
    if (index % numAnswers > 0) return;
    total.promptTokens += usage.promptTokens;
    total.cachedTokens += usage.cachedTokens;
  });
  return toUsage(total);
}

export function recordsOf(tokens: Tokens): TokenRecord[] {
  return tokens.map(({ record }) => record);
}

function addFusion(a: FusionUsage, b: FusionUsage): FusionUsage {
  const tokens = a.tokens + b.tokens;
  const skipped = a.skippedShare * a.tokens + b.skippedShare * b.tokens;
  return {
    nats: a.nats + b.nats,
    flipped: a.flipped + b.flipped,
    tokens,
    skippedShare: skipped / Math.max(1, tokens),
  };
}

export function toUsage({ promptTokens, completionTokens, cachedTokens, fusion }: Usage): UsageRecord {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    fusion,
  };
}
