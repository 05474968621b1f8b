import { noUsage, type GeneratedToken, type Outlook, type Usage } from "../../protocol/protocol.js";
import { pieceOf } from "../openai/tool-calls.js";
import type { ChoiceChunk, ChoiceFormat } from "../openai/choice-format.js";
import { recordsOf } from "../completion/records.js";
import type { TraceLevel } from "../../wire/token-record.js";
import type { ChoiceEvent } from "../completion/run-choices.js";
import type { ChatChunkChoice, ChoiceFinishReason, ToolCall, ToolCallDelta } from "../../wire/completion.js";
import type { ChoiceFrame, ChoicePlace, EndedChoice } from "../../wire/frames.js";

interface ChoiceOptions {
  place: ChoicePlace;
  /** Whose chunks the frames are made of. */
  format: ChoiceFormat<ChoiceChunk, unknown>;
  reports: TraceLevel;
}

/** Writes one choice of a response as frames, and keeps what `response.done` says of it. */
export class SocketChoice {
  readonly #place: ChoicePlace;
  readonly #format: ChoiceFormat<ChoiceChunk, unknown>;
  readonly #reports: TraceLevel;
  readonly #calls: ToolCall[] = [];
  #text = "";
  #usage: Usage = noUsage;
  #finishReason: ChoiceFinishReason | null = null;
  #outlook: Outlook | null = null;
  #isClosed = false;

  constructor({ place, format, reports }: ChoiceOptions) {
    this.#place = place;
    this.#format = format;
    this.#reports = reports;
  }

  /** So far, where it has not ended. */
  get usage(): Usage {
    return this.#usage;
  }

  /** What it is now, or has come to. */
  get ended(): EndedChoice {
    return {
      index: this.#place.choice_index,
      output_text: this.#text,
      ...(this.#calls.length > 0 && { tool_calls: this.#calls }),
      finish_reason: this.#finishReason,
      ...(this.#outlook !== null && { fusion: this.#outlook }),
    };
  }

  frames(event: ChoiceEvent["event"]): ChoiceFrame[] {
    switch (event.type) {
      case "accepted":
        this.#usage = { ...this.#usage, promptTokens: event.promptTokens };
        return [];
      case "echo":
        return this.#framesOf(this.#format.echo(event.echo));
      case "delta": {
        const { tokens } = event;
        const completionTokens = this.#usage.completionTokens + tokens.length;
        this.#usage = { ...this.#usage, completionTokens };
        const chunk = this.#format.delta(event, this.#reports !== "off" && tokens.length > 0);
        return this.#framesOf(chunk, tokens);
      }
      case "done": {
        this.#usage = event.usage;
        this.#outlook = event.outlook ?? null;
        const rest = this.#framesOf(this.#format.rest(event.finishReason));
        const ending = this.#format.ending(event.finishReason, event.tokens);
        this.#finishReason = ending.finish_reason;
        return [...rest, ...this.#framesOf(ending, event.tokens), ...this.close()];
      }
    }
  }

  /** Its last frames, once, whatever it came to. */
  close(): ChoiceFrame[] {
    if (this.#isClosed) return [];
    this.#isClosed = true;
    const done = { type: "response.output_text.done", ...this.#place, text: this.#text } as const;
    return [...this.#callDone(), done];
  }

  #framesOf(chunk: ChoiceChunk | null, tokens: readonly GeneratedToken[] = []): ChoiceFrame[] {
    if (chunk === null) return [];
    const { content: delta = "", tool_calls: pieces = [] } = deltaOf(chunk);
    const records = recordsOf(tokens, this.#reports);
    const { logprobs } = chunk;
    this.#text += delta;
    const calls = pieces.flatMap((call) => this.#call(call));
    if (delta === "" && records.length === 0 && !logprobs) return calls;
    const type = "response.output_text.delta";
    return [{ type, ...this.#place, delta, tokens: records, ...(logprobs && { logprobs }) }, ...calls];
  }

  /** A piece of a call; the first one brings id and name, and ends the call before. */
  #call(piece: ToolCallDelta): ChoiceFrame[] {
    const before = piece.id === undefined ? [] : this.#callDone();
    const { name: begun = "", text: delta } = pieceOf(piece);
    const own = { id: piece.id ?? "", type: "function" } as const;
    const call = (this.#calls[piece.index] ??=
      "custom" in piece
        ? { ...own, type: "custom", custom: { name: begun, input: "" } }
        : { ...own, function: { name: begun, arguments: "" } });
    if (call.type === "custom") call.custom.input += delta;
    else call.function.arguments += delta;
    const type = "response.function_call_arguments.delta";
    const { name = "" } = pieceOf({ ...call, index: piece.index });
    return [...before, { type, ...this.#place, call_id: call.id, name, delta }];
  }

  /** The frame that ends the last call. */
  #callDone(): ChoiceFrame[] {
    const call = this.#calls.at(-1);
    const type = "response.function_call_arguments.done";
    if (call === undefined) return [];
    const { name = "", text } = pieceOf({ ...call, index: 0 });
    return [{ type, ...this.#place, call_id: call.id, name, arguments: text }];
  }
}

const deltaOf = (chunk: ChoiceChunk): ChatChunkChoice["delta"] =>
  "delta" in chunk ? chunk.delta : { content: chunk.text };
