import type { ShouldersError } from "../../errors.js";
import type { GenerationEvent, Usage } from "../../protocol/protocol.js";
import type { ResponseBody, ResponseEvent } from "../../wire/response.js";
import type { ItemStatus, OutputItem, OutputText } from "../../wire/response-item.js";
import type { RequestPlan } from "../completion/plan.js";
import { toFusionUsage } from "../completion/records.js";
import { newId } from "../completion/plan.js";
import type { AnswerWriter } from "../completion/serve-answer.js";
import { toOpenAiError } from "../openai-error.js";
import { AnswerItems, type AnswerItem, type ItemEvent } from "./answer-items.js";
import { toolsOf, type ResponsesBody } from "./responses-schema.js";

/** An event before it has its number. */
type Unnumbered = ResponseEvent extends infer Event
  ? Event extends ResponseEvent
    ? Omit<Event, "sequence_number">
    : never
  : never;

const idPrefixes = { reasoning: "rs_", text: "msg_", call: "fc_" } as const;

interface WriterOptions {
  body: ResponsesBody;
  plan: RequestPlan;
  /** Whether the next request may go on from it. */
  isKept: boolean;
  /** Told the whole answer before anybody else. */
  keep: (response: ResponseBody) => void;
}

/** Writes the bodies of one response of `/v1/responses`, whole or as events. */
export class ResponseWriter implements AnswerWriter<ResponseBody, ResponseEvent> {
  readonly repeatsAll = true;
  readonly #options: WriterOptions;
  readonly #answer: AnswerItems;
  /** Ids of the items, by their place. */
  readonly #ids: string[] = [];
  readonly #isSummed: boolean;
  #numEvents = 0;
  /** An answer has begun. */
  #isBegun = false;
  #last: ResponseBody | null = null;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#answer = new AnswerItems(options.plan);
    this.#isSummed = options.body.reasoning?.summary != null;
  }

  events(event: GenerationEvent): ResponseEvent[] {
    if (event.type === "accepted") return this.#options.body.background === true ? this.#queued() : [];
    const shown = this.#answer.push(event).flatMap((item) => this.#eventsOf(item));
    const opening = this.#opening();
    if (this.#answer.ending === null) return this.#number([...opening, ...shown]);
    const response = this.whole();
    this.#last = response;
    this.#options.keep(response);
    const type = response.status === "incomplete" ? "response.incomplete" : "response.completed";
    return this.#number([...opening, ...shown, { type, response }]);
  }

  failed(thrown: ShouldersError): ResponseEvent[] {
    const { type, message } = toOpenAiError(thrown).body.error;
    const code = type === "rate_limit_error" ? "rate_limit_exceeded" : "server_error";
    const output = this.#answer.items.map((item) => this.#item(item, item === this.#answer.items.at(-1)));
    const response = { ...this.#response("failed", output), error: { code, message } as const };
    this.#last = response;
    return this.#number([...this.#opening(), { type: "response.failed", response }]);
  }

  /** The response as it is now: what was said is told when it is over. */
  get now(): ResponseBody {
    return this.#last ?? this.#response(this.#isBegun ? "in_progress" : "queued", []);
  }

  cancelled(): void {
    this.#last = this.#response(
      "cancelled",
      this.#answer.items.map((item) => this.#item(item, true)),
    );
  }

  whole(): ResponseBody {
    const { items, ending, records } = this.#answer;
    const { ignored, reports } = this.#options.plan;
    const fusion = {
      ...(ignored.length > 0 && { ignored }),
      ...(reports !== "off" && { tokens: records }),
      ...ending?.outlook,
    };
    const output = items.map((item) => this.#item(item));
    return {
      ...this.#response(ending?.finishReason === "length" ? "incomplete" : "completed", output),
      ...(ending && { usage: toResponseUsage(ending.usage) }),
      ...(Object.keys(fusion).length > 0 && { fusion }),
    };
  }

  /** Before the first of the others; nothing after it. */
  #opening(): Unnumbered[] {
    if (this.#isBegun) return [];
    this.#isBegun = true;
    const response = this.#response("in_progress", []);
    const begun: Unnumbered = { type: "response.in_progress", response };
    return this.#numEvents > 0 ? [begun] : [{ type: "response.created", response }, begun];
  }

  #queued(): ResponseEvent[] {
    const response = this.#response("queued", []);
    return this.#number([
      { type: "response.created", response },
      { type: "response.queued", response },
    ]);
  }

  #number(events: Unnumbered[]): ResponseEvent[] {
    return events.map((event) => ({ ...event, sequence_number: this.#numEvents++ }));
  }

  #eventsOf(event: ItemEvent): Unnumbered[] {
    const { item } = event;
    const place = { item_id: this.#idOf(item), output_index: item.index };
    switch (event.type) {
      case "begun":
        return [
          { type: "response.output_item.added", output_index: item.index, item: this.#begun(item) },
          ...this.#partBegun(item, place),
        ];
      case "piece": {
        const { piece: delta, logprobs, records } = event;
        const told = { delta, ...(records.length > 0 && { fusion: { tokens: records } }) };
        return [this.#piece(item, place, { ...told, logprobs })];
      }
      case "ended":
        return [
          ...this.#partEnded(item, place),
          { type: "response.output_item.done", output_index: item.index, item: this.#item(item) },
        ];
    }
  }

  #partBegun({ kind }: AnswerItem, place: Place): Unnumbered[] {
    if (kind === "call") return [];
    if (kind === "text")
      return [{ type: "response.content_part.added", ...place, content_index: 0, part: outputText("", []) }];
    if (this.#isSummed) {
      const part = { type: "summary_text", text: "" } as const;
      return [{ type: "response.reasoning_summary_part.added", ...place, summary_index: 0, part }];
    }
    const part = { type: "reasoning_text", text: "" } as const;
    return [{ type: "response.content_part.added", ...place, content_index: 0, part }];
  }

  #piece(
    { kind, call }: AnswerItem,
    place: Place,
    { logprobs, ...told }: { delta: string; logprobs: OutputText["logprobs"] },
  ): Unnumbered {
    if (kind === "call") {
      const of = call.isCustom ? "custom_tool_call_input" : "function_call_arguments";
      return { type: `response.${of}.delta`, ...place, ...told };
    }
    const content = { ...place, content_index: 0 } as const;
    if (kind === "text") return { type: "response.output_text.delta", ...content, ...told, logprobs };
    if (this.#isSummed)
      return { type: "response.reasoning_summary_text.delta", ...place, summary_index: 0, ...told };
    return { type: "response.reasoning_text.delta", ...content, ...told };
  }

  #partEnded({ kind, text, logprobs, call }: AnswerItem, place: Place): Unnumbered[] {
    if (kind === "call")
      return call.isCustom
        ? [{ type: "response.custom_tool_call_input.done", ...place, input: text }]
        : [{ type: "response.function_call_arguments.done", ...place, name: call.name, arguments: text }];
    const content = { ...place, content_index: 0 } as const;
    if (kind === "text")
      return [
        { type: "response.output_text.done", ...content, text, logprobs },
        { type: "response.content_part.done", ...content, part: outputText(text, logprobs) },
      ];
    if (this.#isSummed) {
      const summary = { ...place, summary_index: 0 } as const;
      return [
        { type: "response.reasoning_summary_text.done", ...summary, text },
        { type: "response.reasoning_summary_part.done", ...summary, part: { type: "summary_text", text } },
      ];
    }
    return [
      { type: "response.reasoning_text.done", ...content, text },
      { type: "response.content_part.done", ...content, part: { type: "reasoning_text", text } },
    ];
  }

  #idOf({ index, kind, call }: AnswerItem): string {
    return (this.#ids[index] ??= newId(call.isCustom ? "ctc_" : idPrefixes[kind]));
  }

  /** An item before its first piece. */
  #begun(item: AnswerItem): OutputItem {
    const whole = this.#item({ ...item, text: "", logprobs: [] });
    if (whole.type === "function_call" || whole.type === "custom_tool_call")
      return { ...whole, status: "in_progress" };
    if (whole.type === "message") return { ...whole, status: "in_progress", content: [] };
    return { ...whole, status: "in_progress", content: [], summary: [] };
  }

  #item(item: AnswerItem, isCut = item.isCut): OutputItem {
    const { kind, text, logprobs, call } = item;
    const status: ItemStatus = isCut ? "incomplete" : "completed";
    const own = { id: this.#idOf(item), status };
    switch (kind) {
      case "text":
        return { ...own, type: "message", role: "assistant", content: [outputText(text, logprobs)] };
      case "call":
        if (call.isCustom)
          return { ...own, type: "custom_tool_call", call_id: call.id, name: call.name, input: text };
        return { ...own, type: "function_call", call_id: call.id, name: call.name, arguments: text };
      case "reasoning":
        return {
          ...own,
          type: "reasoning",
          summary: this.#isSummed ? [{ type: "summary_text", text }] : [],
          content: this.#isSummed ? [] : [{ type: "reasoning_text", text }],
          ...(this.#options.body.include?.includes("reasoning.encrypted_content") === true && {
            encrypted_content: Buffer.from(text).toString("base64"),
          }),
        };
    }
  }

  /** Every field that OpenAI's schema requires, with what was asked for or its default. */
  #response(status: ResponseBody["status"], output: OutputItem[]): ResponseBody {
    const { body, plan, isKept } = this.#options;
    const { id, request, created, model } = plan;
    return {
      id,
      object: "response",
      created_at: created,
      status,
      background: body.background ?? false,
      ...(body.conversation != null && {
        conversation: {
          id: typeof body.conversation === "string" ? body.conversation : body.conversation.id,
        },
      }),
      error: null,
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      instructions: body.instructions ?? null,
      max_output_tokens: body.max_output_tokens ?? null,
      metadata: body.metadata ?? {},
      model,
      output,
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      previous_response_id: body.previous_response_id ?? null,
      reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
      store: isKept,
      temperature: request.sampling.temperature,
      text: { format: body.text?.format ?? { type: "text" } },
      tool_choice: body.tool_choice ?? "auto",
      tools: toolsOf(body).map(shownTool),
      top_logprobs: body.top_logprobs ?? 0,
      top_p: request.sampling.topP,
      truncation: "disabled",
      ...(body.user != null && { user: body.user }),
    };
  }
}

interface Place {
  item_id: string;
  output_index: number;
}

function shownTool(tool: ReturnType<typeof toolsOf>[number]): ResponseBody["tools"][number] {
  const { name, description } = tool;
  if (tool.type === "custom") {
    const { type, format } = tool;
    return { type, name, ...(description != null && { description }), format: format ?? { type: "text" } };
  }
  const { type, parameters, strict } = tool;
  return {
    ...{ type, name, description: description ?? null },
    ...{ parameters: parameters ?? null, strict: strict ?? null },
  };
}

function outputText(text: string, logprobs: OutputText["logprobs"]): OutputText {
  return { type: "output_text", text, annotations: [], logprobs };
}

function toResponseUsage({
  promptTokens,
  cachedTokens,
  completionTokens,
  reasoningTokens,
  fusion,
}: Usage): NonNullable<ResponseBody["usage"]> {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
    fusion: toFusionUsage(fusion),
  };
}
