import type { FinishReason, GeneratedToken, GenerationEvent } from "../../protocol/protocol.js";
import type {
  ChatChoice,
  ChatChunkChoice,
  ChoiceFinishReason,
  TextChoice,
  ToolCall,
  ToolCallDelta,
} from "../../wire/completion.js";
import type { ChatLogprobs, TextLogprobs } from "../../wire/logprobs.js";
import type { Echo } from "../completion/echo.js";
import { chatLogprobs, joinLogprobs, TextLogprobsWriter } from "./logprobs.js";
import { pieceOf, readAnswer, ToolCallReader, type CallForm } from "./tool-calls.js";

type Tokens = readonly GeneratedToken[];
type Delta = Pick<Extract<GenerationEvent, { type: "delta" }>, "reasoning" | "text" | "tokens">;
/** `endTokens`: drawn but no text, such as the end of sequence. */
type Answer = Required<Delta> & { echo: Echo | null; endTokens: Tokens };

export interface ChoiceOptions {
  index: number;
  hasLogprobs: boolean;
  hidesThought: boolean;
  /** How calls stand in the answer; null: it has none. */
  toolForm: CallForm | null;
}

/** What a chunk of a stream has of a choice. */
export type ChoiceChunk = ChatChunkChoice | TextChoice;

/** How one kind of completion writes one of its choices. */
export interface ChoiceFormat<Chunk, Whole> {
  /** The choice of its first chunk, before any text; null: there is none. */
  opening(): Chunk | null;
  /** null: there is nothing in it that a client would see, unless `isTraced`. */
  delta(event: Delta, isTraced: boolean): Chunk | null;
  /** A prompt that is given back. */
  echo(echo: Echo): Chunk | null;
  /** What was held back until the end, if anything was. */
  rest(finishReason: FinishReason): Chunk | null;
  /** @param endTokens drawn but no text, such as the end of sequence */
  ending(finishReason: FinishReason, endTokens: Tokens): Chunk;
  whole(answer: Answer, finishReason: FinishReason): Whole;
}

/** A call of a whole answer: its first piece is all of it. */
function toCall(call: ToolCallDelta): ToolCall {
  const { id = "" } = call;
  const { name = "", text } = pieceOf(call);
  return "custom" in call
    ? { id, type: "custom", custom: { name, input: text } }
    : { id, type: "function", function: { name, arguments: text } };
}

/** Log-probabilities are of the content. */
const isSaid = ({ record }: GeneratedToken): boolean => record.thought !== true;

/** Calls that are whole are calls, though the cap ends with them. */
function reasonOf(
  finishReason: FinishReason,
  { numCalls, isWhole, isOld }: { numCalls: number; isWhole: boolean; isOld: boolean },
): ChoiceFinishReason {
  if (numCalls === 0 || (finishReason !== "stop" && !isWhole)) return finishReason;
  return isOld ? "function_call" : "tool_calls";
}

/** The one call of an answer, or a piece of it, as programs from before tools read it. */
function oldCall(pieces: readonly ToolCallDelta[]): { name?: string; arguments: string } {
  const [first, ...others] = pieces.map(pieceOf);
  return {
    ...(first?.name !== undefined && { name: first.name }),
    arguments: [first, ...others].map((piece) => piece?.text ?? "").join(""),
  };
}

export class ChatFormat implements ChoiceFormat<ChatChunkChoice, ChatChoice> {
  readonly #options: ChoiceOptions;
  readonly #reader: ToolCallReader | null;
  readonly #isOld: boolean;

  constructor(options: ChoiceOptions) {
    this.#options = options;
    this.#isOld = options.toolForm?.isOld === true;
    this.#reader = options.toolForm && new ToolCallReader(options.toolForm);
  }

  opening(): ChatChunkChoice {
    return this.#chunk({ role: "assistant", content: "" });
  }

  delta({ reasoning: thought, text, tokens }: Delta, isTraced: boolean): ChatChunkChoice | null {
    const reasoning = this.#options.hidesThought ? undefined : thought;
    const { content, toolCalls } = this.#reader?.push(text) ?? { content: text, toolCalls: [] };
    const hasCalls = toolCalls.length > 0;
    const isSilent = content === "" && !hasCalls && reasoning === undefined;
    if (isSilent && !isTraced && !this.#showsTokens(tokens)) return null;
    const isOther = hasCalls || reasoning !== undefined;
    const delta = {
      ...(reasoning !== undefined && { reasoning_content: reasoning }),
      ...((content !== "" || !isOther) && { content }),
      ...(hasCalls && (this.#isOld ? { function_call: oldCall(toolCalls) } : { tool_calls: toolCalls })),
    };
    return this.#chunk(delta, tokens);
  }

  echo(): null {
    return null;
  }

  rest(finishReason: FinishReason): ChatChunkChoice | null {
    const content = this.#reader?.finish(finishReason === "length").content ?? "";
    return content === "" ? null : this.#chunk({ content });
  }

  ending(finishReason: FinishReason): ChatChunkChoice {
    const { numCalls = 0, isWhole = false } = this.#reader ?? {};
    return this.#chunk({}, null, reasonOf(finishReason, { numCalls, isWhole, isOld: this.#isOld }));
  }

  whole({ reasoning, text, tokens }: Answer, finishReason: FinishReason): ChatChoice {
    const { toolForm, hidesThought } = this.#options;
    const answer = toolForm
      ? readAnswer(text, toolForm, finishReason === "length")
      : { content: text, toolCalls: [], isWhole: false };
    const { content, toolCalls, isWhole } = answer;
    const hasCalls = toolCalls.length > 0;
    return {
      index: this.#options.index,
      message: {
        role: "assistant",
        content: hasCalls && content.trim() === "" ? null : content,
        refusal: null,
        ...(reasoning !== "" && !hidesThought && { reasoning_content: reasoning }),
        ...(hasCalls && this.#calls(toolCalls)),
      },
      logprobs: this.#logprobs(tokens),
      finish_reason: reasonOf(finishReason, { numCalls: toolCalls.length, isWhole, isOld: this.#isOld }),
    };
  }

  #calls(pieces: readonly ToolCallDelta[]): Pick<ChatChoice["message"], "tool_calls" | "function_call"> {
    if (!this.#isOld) return { tool_calls: pieces.map(toCall) };
    const { name = "", arguments: text } = oldCall(pieces);
    return { function_call: { name, arguments: text } };
  }

  #showsTokens(tokens: Tokens): boolean {
    return this.#options.hasLogprobs && tokens.some(isSaid);
  }

  #logprobs(tokens: Tokens): ChatLogprobs | null {
    return this.#options.hasLogprobs ? chatLogprobs(tokens.filter(isSaid)) : null;
  }

  #chunk(
    delta: ChatChunkChoice["delta"],
    tokens: Tokens | null = null,
    finishReason: ChoiceFinishReason | null = null,
  ): ChatChunkChoice {
    const logprobs = tokens && this.#logprobs(tokens);
    return { index: this.#options.index, delta, logprobs, finish_reason: finishReason };
  }
}

export class TextFormat implements ChoiceFormat<TextChoice, TextChoice> {
  readonly #options: ChoiceOptions;
  readonly #writer = new TextLogprobsWriter();
  /** Evaluation harnesses take all but the last token of an echo with log-probabilities for the prompt's. */
  #tellsEnd = false;

  constructor(options: ChoiceOptions) {
    this.#options = options;
  }

  opening(): null {
    return null;
  }

  delta({ text, tokens }: Delta, isTraced: boolean): TextChoice | null {
    const { hasLogprobs } = this.#options;
    if (text === "" && !isTraced && !(hasLogprobs && tokens.length > 0)) return null;
    return this.#choice(text, hasLogprobs ? this.#writer.write(tokens) : null);
  }

  echo(echo: Echo): TextChoice {
    this.#tellsEnd = echo.scored !== null;
    return this.#choice(echo.text, this.#promptLogprobs(echo));
  }

  rest(): null {
    return null;
  }

  ending(finishReason: FinishReason, endTokens: Tokens): TextChoice {
    const isTold = this.#tellsEnd && endTokens.length > 0;
    return this.#choice("", isTold ? this.#writer.write(endTokens) : null, finishReason);
  }

  whole({ text, tokens, endTokens, echo }: Answer, finishReason: FinishReason): TextChoice {
    const prompt = echo && this.#promptLogprobs(echo);
    const told = prompt ? [...tokens, ...endTokens] : tokens;
    const answer = this.#options.hasLogprobs ? this.#writer.write(told) : null;
    const logprobs = prompt && answer ? joinLogprobs(prompt, answer) : answer;
    return this.#choice((echo?.text ?? "") + text, logprobs, finishReason);
  }

  #promptLogprobs({ scored }: Echo) {
    return scored && this.#writer.writePrompt(scored.first, scored.others);
  }

  #choice(text: string, logprobs: TextLogprobs | null, finishReason: FinishReason | null = null): TextChoice {
    return { text, index: this.#options.index, logprobs, finish_reason: finishReason };
  }
}
