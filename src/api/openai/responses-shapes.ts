import { randomUUID } from "node:crypto";
import type { FinishReason, GeneratedToken, Usage } from "../../protocol/protocol.js";
import type { ErrorDetail } from "../../wire/error.js";
import type {
  ResponseBody,
  ResponseEvent,
  ResponseItem,
  ResponsePart,
  ResponseStatus,
} from "../../wire/response.js";
import { chatLogprobs } from "./logprobs.js";
import type { RequestPlan } from "../completion/plan.js";
import type { ResponsesBody } from "./responses-schema.js";
import { recordsOf, toFusionUsage } from "../completion/records.js";

/** The fields of an event besides its type and number. */
type Fields<Type extends ResponseEvent["type"]> = Omit<
  Extract<ResponseEvent, { type: Type }>,
  "type" | "sequence_number"
>;

/** Writes the bodies of one response of `/v1/responses`, whole or as events. */
export class ResponseWriter {
  readonly #body: ResponsesBody;
  readonly #plan: RequestPlan;
  readonly #itemId = `msg_${randomUUID().replaceAll("-", "")}`;
  readonly #hasLogprobs: boolean;
  #text = "";
  readonly #tokens: GeneratedToken[] = [];
  #numEvents = 0;

  constructor(body: ResponsesBody, plan: RequestPlan) {
    this.#body = body;
    this.#plan = plan;
    this.#hasLogprobs = body.include?.includes("message.output_text.logprobs") ?? false;
  }

  /** Before the first of the others; nothing after it. */
  opening(): ResponseEvent[] {
    if (this.#numEvents > 0) return [];
    const response = this.#response("in_progress", []);
    const part: ResponsePart = { type: "output_text", text: "", annotations: [], logprobs: [] };
    return [
      this.#event("response.created", { response }),
      this.#event("response.in_progress", { response }),
      this.#event("response.output_item.added", {
        output_index: 0,
        item: { ...this.#item("in_progress"), content: [] },
      }),
      this.#event("response.content_part.added", { ...this.#place, part }),
    ];
  }

  /** null: there is nothing in it that this client would see. */
  delta(delta: string, tokens: readonly GeneratedToken[]): ResponseEvent | null {
    this.#text += delta;
    this.#tokens.push(...tokens);
    const { reports } = this.#plan;
    const isTraced = reports !== "off" && tokens.length > 0;
    if (delta === "" && !isTraced && !(this.#hasLogprobs && tokens.length > 0)) return null;
    return this.#event("response.output_text.delta", {
      ...this.#place,
      delta,
      logprobs: this.#logprobs(tokens),
      ...(isTraced && { fusion: { tokens: recordsOf(tokens, reports) } }),
    });
  }

  ending(finishReason: FinishReason, usage: Usage): ResponseEvent[] {
    const status = statusOf(finishReason);
    return [
      this.#event("response.output_text.done", {
        ...this.#place,
        text: this.#text,
        logprobs: this.#logprobs(this.#tokens),
      }),
      this.#event("response.content_part.done", { ...this.#place, part: this.#part() }),
      this.#event("response.output_item.done", { output_index: 0, item: this.#item(status) }),
      this.#event(`response.${status}`, { response: this.whole(finishReason, usage) }),
    ];
  }

  failed(error: ErrorDetail): ResponseEvent {
    const response = {
      ...this.#response("failed", [this.#item("incomplete")]),
      error: { code: error.code, message: error.message },
    };
    return this.#event("response.failed", { response });
  }

  /** The whole response, of what was given to `delta` so far. */
  whole(
    finishReason: FinishReason,
    { promptTokens, cachedTokens, completionTokens, reasoningTokens, fusion }: Usage,
  ): ResponseBody {
    const status = statusOf(finishReason);
    const { ignored, reports } = this.#plan;
    const isTraced = reports !== "off";
    return {
      ...this.#response(status, [this.#item(status)]),
      usage: {
        input_tokens: promptTokens,
        input_tokens_details: { cached_tokens: cachedTokens },
        output_tokens: completionTokens,
        output_tokens_details: { reasoning_tokens: reasoningTokens },
        total_tokens: promptTokens + completionTokens,
        fusion: toFusionUsage(fusion),
      },
      ...((isTraced || ignored.length > 0) && {
        fusion: {
          ...(ignored.length > 0 && { ignored }),
          ...(isTraced && { tokens: recordsOf(this.#tokens, reports) }),
        },
      }),
    };
  }

  get #place() {
    return { item_id: this.#itemId, output_index: 0, content_index: 0 } as const;
  }

  #event<Type extends ResponseEvent["type"]>(type: Type, fields: Fields<Type>): ResponseEvent {
    // Type and fields are of one event; the compiler does not put a generic union together.
    return { type, sequence_number: this.#numEvents++, ...fields } as unknown as ResponseEvent;
  }

  #part(): ResponsePart {
    const logprobs = this.#logprobs(this.#tokens);
    return { type: "output_text", text: this.#text, annotations: [], logprobs };
  }

  #item(status: ResponseStatus): ResponseItem {
    return { id: this.#itemId, type: "message", status, role: "assistant", content: [this.#part()] };
  }

  #logprobs(tokens: readonly GeneratedToken[]) {
    return this.#hasLogprobs ? chatLogprobs(tokens).content : [];
  }

  /** Every field that OpenAI's schema requires, with what was asked for or its default. */
  #response(status: ResponseStatus, output: ResponseItem[]): ResponseBody {
    const { id, request, created, model } = this.#plan;
    const body = this.#body;
    return {
      id,
      object: "response",
      created_at: created,
      status,
      background: false,
      error: null,
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      instructions: body.instructions ?? null,
      max_output_tokens: body.max_output_tokens ?? null,
      metadata: body.metadata ?? {},
      model,
      output,
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      previous_response_id: null,
      reasoning: { effort: null, summary: null },
      store: false,
      temperature: request.sampling.temperature,
      text: { format: body.text?.format ?? { type: "text" } },
      tool_choice: "auto",
      tools: [],
      top_logprobs: body.top_logprobs ?? 0,
      top_p: request.sampling.topP,
      truncation: "disabled",
      usage: null,
      user: body.user ?? null,
    };
  }
}

const statusOf = (finishReason: FinishReason): "completed" | "incomplete" =>
  finishReason === "length" ? "incomplete" : "completed";
