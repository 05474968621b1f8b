import type { FinishReason, GenerationEvent, Outlook, Usage } from "../../protocol/protocol.js";
import type { ChatChunkChoice, ChoiceFinishReason, ToolCallDelta } from "../../wire/completion.js";
import type { ChatLogprobs } from "../../wire/logprobs.js";
import type { TokenRecord } from "../../wire/token-record.js";
import type { RequestPlan } from "../completion/plan.js";
import { recordsOf } from "../completion/records.js";
import type { ChoiceChunk } from "./choice-format.js";
import { formatsOf } from "./shapes.js";
import { pieceOf } from "./tool-calls.js";

/** An answer as a list of what was thought, said and called, as newer APIs have it. */

type Logprobs = ChatLogprobs["content"];

/** One of them; it grows until it has ended. */
export interface AnswerItem {
  kind: "reasoning" | "text" | "call";
  /** Place in the answer. */
  index: number;
  /** Thoughts, text, the JSON of a call's arguments, or the input of a custom tool. */
  text: string;
  /** Of text, where they were asked for. */
  logprobs: Logprobs;
  /** Of a call. */
  call: { id: string; name: string; isCustom: boolean };
  /** The answer came to its end in it: a call's arguments are no JSON then. */
  isCut: boolean;
}

export type ItemEvent =
  | { type: "begun"; item: AnswerItem }
  /** `records`: of the tokens since the piece before, where a trace was asked for. */
  | { type: "piece"; item: AnswerItem; piece: string; logprobs: Logprobs; records: TokenRecord[] }
  | { type: "ended"; item: AnswerItem };

/** What an answer came to. */
export interface AnswerEnding {
  finishReason: ChoiceFinishReason;
  stopString: string | null;
  usage: Usage;
  outlook: Outlook;
}

type Shown = Exclude<GenerationEvent, { type: "accepted" }>;

/** Takes one choice of a chat completion apart into its items, as it comes. */
export class AnswerItems {
  readonly items: AnswerItem[] = [];
  /** Of every token so far, where a trace was asked for. */
  readonly records: TokenRecord[] = [];
  /** null: it goes on. */
  ending: AnswerEnding | null = null;
  readonly #plan: RequestPlan;
  readonly #format: ReturnType<typeof formatsOf>[number];
  #open: AnswerItem | null = null;
  #numTold = 0;
  /** White space, which is text only where text follows. */
  #space: { text: string; logprobs: Logprobs } = { text: "", logprobs: [] };

  constructor(plan: RequestPlan) {
    this.#plan = plan;
    [this.#format] = formatsOf(plan) as [ReturnType<typeof formatsOf>[number]];
  }

  push(event: Shown): ItemEvent[] {
    this.records.push(...recordsOf(event.tokens, this.#plan.reports));
    if (event.type === "delta") return this.#read(this.#format.delta(event, false));
    const { finishReason, stopString, usage, outlook = {} } = event;
    const events = this.#read(this.#format.rest(finishReason));
    const reason = this.#format.ending(finishReason, event.tokens).finish_reason ?? finishReason;
    this.ending = { finishReason: reason, stopString, usage, outlook };
    return [...events, ...this.#finish(finishReason, reason === "tool_calls")];
  }

  #read(chunk: ChoiceChunk | null): ItemEvent[] {
    if (chunk === null) return [];
    const { delta, logprobs } = chunk as ChatChunkChoice;
    const { reasoning_content: reasoning = "", content = "", tool_calls: calls = [] } = delta;
    return [
      ...(reasoning === "" ? [] : this.#grow("reasoning", reasoning)),
      ...this.#say(content, logprobs?.content ?? []),
      ...calls.flatMap((call) => this.#call(call)),
    ];
  }

  #say(content: string, logprobs: Logprobs): ItemEvent[] {
    if (content === "" && logprobs.length === 0) return [];
    const text = this.#space.text + content;
    const all = [...this.#space.logprobs, ...logprobs];
    const isSpace = this.#open?.kind !== "text" && text.trim() === "";
    this.#space = isSpace ? { text, logprobs: all } : { text: "", logprobs: [] };
    return isSpace ? [] : this.#grow("text", text, all);
  }

  #call(call: ToolCallDelta): ItemEvent[] {
    this.#space = { text: "", logprobs: [] };
    const { id } = call;
    const { name = "", text } = pieceOf(call);
    const begun = id === undefined ? [] : this.#begin("call", { id, name, isCustom: "custom" in call });
    return [...begun, ...(text === "" ? [] : this.#grow("call", text))];
  }

  /** Goes on with the open item, or begins one where another kind is open. */
  #grow(kind: AnswerItem["kind"], piece: string, logprobs: Logprobs = []): ItemEvent[] {
    const begun = this.#open?.kind === kind ? [] : this.#begin(kind);
    const item = this.#open as unknown as AnswerItem;
    item.text += piece;
    item.logprobs.push(...logprobs);
    return [...begun, { type: "piece", item, piece, logprobs, records: this.#untold() }];
  }

  #begin(kind: AnswerItem["kind"], call = { id: "", name: "", isCustom: false }): ItemEvent[] {
    const ended = this.#end(false);
    const item = { kind, index: this.items.length, text: "", logprobs: [], call, isCut: false };
    this.items.push(item);
    this.#open = item;
    return [...ended, { type: "begun", item }];
  }

  #end(isCut: boolean): ItemEvent[] {
    const item = this.#open;
    this.#open = null;
    if (item === null) return [];
    item.isCut = isCut;
    return [{ type: "ended", item }];
  }

  /**
   * What was held back, an empty text where there is nothing at all, and the end.
   * @param hasWholeCalls nothing of its calls is missing
   */
  #finish(finishReason: FinishReason, hasWholeCalls: boolean): ItemEvent[] {
    const { text, logprobs } = this.#space;
    const hasCalls = this.items.some(({ kind }) => kind === "call");
    const isSaid = this.items.length === 0 || (text !== "" && !hasCalls);
    const rest = isSaid ? this.#grow("text", text, logprobs) : [];
    const last = this.#open;
    const records = this.#untold();
    if (last !== null && records.length > 0)
      rest.push({ type: "piece", item: last, piece: "", logprobs: [], records });
    const isWhole = last?.kind === "call" && (hasWholeCalls || (!last.call.isCustom && isJson(last.text)));
    return [...rest, ...this.#end(finishReason === "length" && !isWhole)];
  }

  /** Records that no piece has told. */
  #untold(): TokenRecord[] {
    const records = this.records.slice(this.#numTold);
    this.#numTold = this.records.length;
    return records;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
