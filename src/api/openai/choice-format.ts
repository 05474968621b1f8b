import type { FinishReason, GeneratedToken, ToolForm } from "../../protocol/protocol.js";
import type { Echo } from "../completion/echo.js";
import { chatLogprobs, joinLogprobs, TextLogprobsWriter } from "./logprobs.js";
import type { ChatLogprobs, TextLogprobs } from "./logprobs.js";
import { readAnswer, ToolCallReader, type ToolCallDelta } from "./tool-calls.js";

type Tokens = readonly GeneratedToken[];

export interface ChoiceOptions {
  index: number;
  hasLogprobs: boolean;
  /** How calls stand in the answer; null: it has none. */
  toolForm: ToolForm | null;
}

/** What a chunk of a stream has of a choice. */
export interface ChoiceChunk {
  index: number;
  /** What a chunk of a chat adds. */
  delta?: { role?: "assistant"; content?: string; tool_calls?: ToolCallDelta[] };
  /** What a chunk of a legacy completion adds. */
  text?: string;
  logprobs: ChatLogprobs | TextLogprobs | null;
  finish_reason: string | null;
}

/** How one kind of completion writes one of its choices. */
export interface ChoiceFormat {
  /** The choice of its first chunk, before any text; null: there is none. */
  opening(): ChoiceChunk | null;
  /** null: there is nothing in it that a client would see, unless `isTraced`. */
  delta(text: string, tokens: Tokens, isTraced: boolean): ChoiceChunk | null;
  /** A prompt that is given back. */
  echo(echo: Echo): ChoiceChunk | null;
  /** What was held back until the end, if anything was. */
  rest(): ChoiceChunk | null;
  ending(finishReason: FinishReason): ChoiceChunk;
  whole(answer: { text: string; tokens: Tokens; echo: Echo | null }, finishReason: FinishReason): object;
}

export class ChatFormat implements ChoiceFormat {
  readonly #options: ChoiceOptions;
  readonly #reader: ToolCallReader | null;

  constructor(options: ChoiceOptions) {
    this.#options = options;
    this.#reader = options.toolForm && new ToolCallReader(options.toolForm);
  }

  opening(): ChoiceChunk {
    return this.#chunk({ role: "assistant", content: "" });
  }

  delta(text: string, tokens: Tokens, isTraced: boolean): ChoiceChunk | null {
    const { content, toolCalls } = this.#reader?.push(text) ?? { content: text, toolCalls: [] };
    const hasCalls = toolCalls.length > 0;
    if (content === "" && !hasCalls && !isTraced && !this.#showsTokens(tokens)) return null;
    const delta = hasCalls ? { ...(content !== "" && { content }), tool_calls: toolCalls } : { content };
    return this.#chunk(delta, tokens);
  }

  echo(): null {
    return null;
  }

  rest(): ChoiceChunk | null {
    const content = this.#reader?.finish().content ?? "";
    return content === "" ? null : this.#chunk({ content });
  }

  ending(finishReason: FinishReason): ChoiceChunk {
    return this.#chunk({}, null, this.#reason(finishReason, this.#reader?.numCalls ?? 0));
  }

  whole({ text, tokens }: { text: string; tokens: Tokens }, finishReason: FinishReason): object {
    const { toolForm } = this.#options;
    const answer = toolForm ? readAnswer(text, toolForm) : { content: text, toolCalls: [] };
    const { content, toolCalls } = answer;
    const hasCalls = toolCalls.length > 0;
    return {
      index: this.#options.index,
      message: {
        role: "assistant",
        content: hasCalls && content.trim() === "" ? null : content,
        refusal: null,
        ...(hasCalls && {
          tool_calls: toolCalls.map(({ id, type, function: called }) => ({ id, type, function: called })),
        }),
      },
      logprobs: this.#logprobs(tokens),
      finish_reason: this.#reason(finishReason, toolCalls.length),
    };
  }

  #reason(finishReason: FinishReason, numCalls: number): string {
    return numCalls > 0 && finishReason === "stop" ? "tool_calls" : finishReason;
  }

  #showsTokens(tokens: Tokens): boolean {
    return this.#options.hasLogprobs && tokens.length > 0;
  }

  #logprobs(tokens: Tokens): ChatLogprobs | null {
    return this.#options.hasLogprobs ? chatLogprobs(tokens) : null;
  }

  #chunk(
    delta: NonNullable<ChoiceChunk["delta"]>,
    tokens: Tokens | null = null,
    finishReason: string | null = null,
  ): ChoiceChunk {
    const logprobs = tokens && this.#logprobs(tokens);
    return { index: this.#options.index, delta, logprobs, finish_reason: finishReason };
  }
}

export class TextFormat implements ChoiceFormat {
  readonly #options: ChoiceOptions;
  readonly #writer = new TextLogprobsWriter();

  constructor(options: ChoiceOptions) {
    this.#options = options;
  }

  opening(): null {
    return null;
  }

  delta(text: string, tokens: Tokens, isTraced: boolean): ChoiceChunk | null {
    const { hasLogprobs } = this.#options;
    if (text === "" && !isTraced && !(hasLogprobs && tokens.length > 0)) return null;
    return this.#choice(text, hasLogprobs ? this.#writer.write(tokens) : null);
  }

  echo(echo: Echo): ChoiceChunk {
    return this.#choice(echo.text, this.#promptLogprobs(echo));
  }

  rest(): null {
    return null;
  }

  ending(finishReason: FinishReason): ChoiceChunk {
    return this.#choice("", null, finishReason);
  }

  whole(
    { text, tokens, echo }: { text: string; tokens: Tokens; echo: Echo | null },
    finishReason: FinishReason,
  ): object {
    const prompt = echo && this.#promptLogprobs(echo);
    const answer = this.#options.hasLogprobs ? this.#writer.write(tokens) : null;
    const logprobs = prompt && answer ? joinLogprobs(prompt, answer) : answer;
    return this.#choice((echo?.text ?? "") + text, logprobs, finishReason);
  }

  #promptLogprobs({ scored }: Echo) {
    return scored && this.#writer.writePrompt(scored.first, scored.others);
  }

  #choice(
    text: string,
    logprobs: TextLogprobs | null,
    finishReason: FinishReason | null = null,
  ): ChoiceChunk {
    return { text, index: this.#options.index, logprobs, finish_reason: finishReason };
  }
}
