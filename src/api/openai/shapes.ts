import type { GeneratedToken, GenerationEvent, Outlook, Usage } from "../../protocol/protocol.js";
import type {
  ChatChoice,
  ChatChunk,
  ChatChunkChoice,
  ChatCompletion,
  TextChoice,
  TextChunk,
  TextCompletion,
} from "../../wire/completion.js";
import type { UsageRecord } from "../../wire/usage.js";
import type { ChoiceEvent, CollectedChoice } from "../completion/run-choices.js";
import {
  ChatFormat,
  TextFormat,
  type ChoiceChunk,
  type ChoiceFormat,
  type ChoiceOptions,
} from "./choice-format.js";
import { recordsOf, toUsage } from "../completion/records.js";
import type { CompletionKind, RequestPlan } from "../completion/plan.js";
import { sumUsage } from "../completion/sum-usage.js";

type Tokens = readonly GeneratedToken[];
type Done = Extract<GenerationEvent, { type: "done" }>;
type Shown = Exclude<ChoiceEvent["event"], { type: "accepted" }>;
type Envelope = Pick<ChatCompletion, "id" | "created" | "model" | "system_fingerprint" | "fusion">;
/** In chunks only where the client asked for it. */
type ChunkUsage = Pick<ChatChunk, "usage" | "timings">;

/** What the answers to one kind of request are. */
export interface CompletionOf {
  chat: ChatCompletion;
  text: TextCompletion;
}

/** What they are made of. */
interface Shapes<Chunk extends ChoiceChunk, Whole extends ChatChoice | TextChoice, Completion> {
  format(options: ChoiceOptions): ChoiceFormat<Chunk, Whole>;
  chunk(parts: Envelope & ChunkUsage, choices: Chunk[]): ChatChunk | TextChunk;
  whole(parts: Envelope & Pick<ChatCompletion, "usage" | "timings">, choices: Whole[]): Completion;
}

const chatShapes: Shapes<ChatChunkChoice, ChatChoice, ChatCompletion> = {
  format: (options) => new ChatFormat(options),
  chunk: (parts, choices) => ({ ...parts, object: "chat.completion.chunk", choices }),
  whole: (parts, choices) => ({ ...parts, object: "chat.completion", choices }),
};

const textShapes: Shapes<TextChoice, TextChoice, TextCompletion> = {
  format: (options) => new TextFormat(options),
  chunk: (parts, choices) => ({ ...parts, object: "text_completion", choices }),
  whole: (parts, choices) => ({ ...parts, object: "text_completion", choices }),
};

/** Writes the bodies of one completion, whole or in chunks. */
export interface CompletionWriter<Completion> {
  /** Whether every choice has ended. */
  readonly isComplete: boolean;
  /** The chunks in which a client gets to see an event. */
  chunks(event: ChoiceEvent): (ChatChunk | TextChunk)[];
  /** The chunk after the last one, where the client asked for it. */
  usage(): ChatChunk | TextChunk | null;
  whole(collected: readonly CollectedChoice[]): Completion;
}

const writers: { [Kind in CompletionKind]: (plan: RequestPlan) => CompletionWriter<CompletionOf[Kind]> } = {
  chat: (plan) => new Writer(plan, chatShapes),
  text: (plan) => new Writer(plan, textShapes),
};

/** @param kind the plan's */
export function completionWriter<Kind extends CompletionKind>(
  kind: Kind,
  plan: RequestPlan,
): CompletionWriter<CompletionOf[Kind]> {
  return writers[kind](plan);
}

class Writer<
  Chunk extends ChoiceChunk,
  Whole extends ChatChoice | TextChoice,
  Completion,
> implements CompletionWriter<Completion> {
  readonly #plan: RequestPlan;
  readonly #shapes: Shapes<Chunk, Whole, Completion>;
  /** The format of each choice, by its index. */
  readonly #formats: ChoiceFormat<Chunk, Whole>[];
  readonly #hasOpened = new Set<number>();
  /** The usage of each choice that has ended, by its index. */
  readonly #usages: Usage[] = [];
  #hasTold = false;

  constructor(plan: RequestPlan, shapes: Shapes<Chunk, Whole, Completion>) {
    this.#plan = plan;
    this.#shapes = shapes;
    this.#formats = formatOptions(plan).map((options) => shapes.format(options));
  }

  get isComplete(): boolean {
    return Object.keys(this.#usages).length === this.#formats.length;
  }

  chunks({ index, event }: ChoiceEvent): (ChatChunk | TextChunk)[] {
    if (event.type === "accepted") return [];
    const format = this.#formats[index] as ChoiceFormat<Chunk, Whole>;
    const opening = this.#hasOpened.has(index) ? null : format.opening();
    this.#hasOpened.add(index);
    if (event.type === "done") this.#usages[index] = event.usage;
    const choices = [opening, ...this.#choices(format, event)].filter((choice) => choice !== null);
    return choices.map((choice) => ({ ...this.#chunk([choice]), ...this.#ignoredOnce() }));
  }

  usage(): ChatChunk | TextChunk | null {
    return this.#plan.includeUsage ? { ...this.#chunk([], this.#totalUsage()), ...this.#timings() } : null;
  }

  whole(collected: readonly CollectedChoice[]): Completion {
    const choices = collected.map(({ done, ...answer }, index) => {
      const { tokens, finishReason, usage, outlook } = done as Done;
      this.#usages[index] = usage;
      const body = (this.#formats[index] as ChoiceFormat<Chunk, Whole>).whole(
        { ...answer, endTokens: tokens },
        finishReason,
      );
      return this.#withFusion(body, [...answer.tokens, ...tokens], outlook);
    });
    const parts = {
      ...this.#envelope(),
      usage: this.#totalUsage(),
      ...this.#timings(),
      ...ignoredOf(this.#plan),
    };
    return this.#shapes.whole(parts, choices);
  }

  #choices(format: ChoiceFormat<Chunk, Whole>, event: Shown): (Chunk | null)[] {
    switch (event.type) {
      case "echo":
        return [format.echo(event.echo)];
      case "delta": {
        const isTraced = this.#isTraced && event.tokens.length > 0;
        const choice = format.delta(event, isTraced);
        return [choice && this.#withFusion(choice, event.tokens)];
      }
      case "done":
        return [
          format.rest(event.finishReason),
          this.#withFusion(format.ending(event.finishReason, event.tokens), event.tokens, event.outlook),
        ];
    }
  }

  /** The first chunk tells what was ignored. */
  #ignoredOnce(): ReturnType<typeof ignoredOf> {
    if (this.#hasTold) return {};
    this.#hasTold = true;
    return ignoredOf(this.#plan);
  }

  get #isTraced(): boolean {
    return this.#plan.reports !== "off";
  }

  #withFusion<Choice extends Chunk | Whole>(choice: Choice, tokens: Tokens, outlook: Outlook = {}): Choice {
    const fusion = {
      ...(this.#isTraced && tokens.length > 0 && { tokens: recordsOf(tokens, this.#plan.reports) }),
      ...outlook,
    };
    return Object.keys(fusion).length > 0 ? { ...choice, fusion } : choice;
  }

  #envelope(): Envelope {
    const { id, created, model, systemFingerprint } = this.#plan;
    return { id, created, model, system_fingerprint: systemFingerprint };
  }

  #chunk(choices: Chunk[], usage: UsageRecord | null = null): ChatChunk | TextChunk {
    const parts = { ...this.#envelope(), ...(this.#plan.includeUsage && { usage }) };
    return this.#shapes.chunk(parts, choices);
  }

  #totalUsage(): UsageRecord {
    return totalUsage(this.#usages, this.#plan);
  }

  /** Where tokens were guessed. */
  #timings(): Pick<ChatCompletion, "timings"> {
    const sum = (key: "drafted" | "accepted") =>
      this.#usages.reduce((total, { fusion }) => total + fusion[key], 0);
    const draft_n = sum("drafted");
    return draft_n > 0 ? { timings: { draft_n, draft_n_accepted: sum("accepted") } } : {};
  }
}

/** What an answer says of fields that were ignored, if any were. */
export function ignoredOf({ ignored }: Pick<RequestPlan, "ignored">): { fusion?: { ignored: string[] } } {
  return ignored.length > 0 ? { fusion: { ignored } } : {};
}

/** What the format of each choice is told. */
function formatOptions({ prompts, numAnswers, request, ...plan }: RequestPlan): ChoiceOptions[] {
  const hasLogprobs = request.topLogprobs !== null;
  return Array.from({ length: prompts.length * numAnswers }, (_, index) => ({
    index,
    hasLogprobs,
    hidesThought: plan.hidesThought,
    toolForm: plan.toolForm,
  }));
}

/** One for each choice, in which calls are told as those of tools. */
export function formatsOf(plan: RequestPlan): ChoiceFormat<ChoiceChunk, unknown>[] {
  const Format = plan.kind === "chat" ? ChatFormat : TextFormat;
  const toolForm = plan.toolForm && { ...plan.toolForm, isOld: false };
  return formatOptions({ ...plan, toolForm }).map((options) => new Format(options));
}

/** @param usages by index of the choice; a prompt counts once, however many answers it has. */
export function totalUsage(
  usages: readonly Usage[],
  { numAnswers }: Pick<RequestPlan, "numAnswers">,
): UsageRecord {
  return toUsage(sumUsage(usages, numAnswers));
}
