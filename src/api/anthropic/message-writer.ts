import type { ShouldersError } from "../../errors.js";
import { noUsage, type GenerationEvent, type Usage } from "../../protocol/protocol.js";
import type { Message, MessageBlock, MessageEvent, StopReason } from "../../wire/message.js";
import type { RequestPlan } from "../completion/plan.js";
import { toFusionUsage } from "../completion/records.js";
import type { AnswerWriter } from "../completion/serve-answer.js";
import { AnswerItems, type AnswerEnding, type AnswerItem, type ItemEvent } from "../openai/answer-items.js";
import { toMessageError } from "./message-error.js";

/** Writes one answer of `/v1/messages`, whole or as events. */
export class MessageWriter implements AnswerWriter<Message, MessageEvent> {
  readonly repeatsAll = false;
  readonly #plan: RequestPlan;
  readonly #requestId: string;
  readonly #answer: AnswerItems;
  #hasOpened = false;
  #numPrompt = 0;

  constructor(plan: RequestPlan, requestId: string) {
    this.#plan = plan;
    this.#requestId = requestId;
    this.#answer = new AnswerItems(plan);
  }

  events(event: GenerationEvent): MessageEvent[] {
    if (event.type === "accepted") {
      this.#numPrompt = event.promptTokens;
      return [];
    }
    const shown = this.#answer.push(event).flatMap(eventsOf);
    const opening = this.#opening();
    const { ending } = this.#answer;
    if (ending === null) return [...opening, ...shown];
    const { stop_reason, stop_sequence } = stopOf(ending);
    return [
      ...opening,
      ...shown,
      {
        type: "message_delta",
        delta: { stop_reason, stop_sequence, stop_details: null, container: null },
        usage: toDeltaUsage(ending.usage),
        ...(Object.keys(ending.outlook).length > 0 && { fusion: ending.outlook }),
      },
      { type: "message_stop" },
    ];
  }

  whole(): Message {
    const { items, ending, records } = this.#answer;
    const { ignored, reports } = this.#plan;
    const fusion = {
      ...(ignored.length > 0 && { ignored }),
      ...(reports !== "off" && { tokens: records }),
      ...ending?.outlook,
    };
    return {
      ...this.#message(ending?.usage ?? noUsage),
      content: items.flatMap(blocksOf),
      ...(ending && stopOf(ending)),
      ...(Object.keys(fusion).length > 0 && { fusion }),
    };
  }

  failed(error: ShouldersError): MessageEvent[] {
    return [toMessageError(error, this.#requestId)];
  }

  /** Before the first of the others; nothing after it. */
  #opening(): MessageEvent[] {
    if (this.#hasOpened) return [];
    this.#hasOpened = true;
    const { ignored } = this.#plan;
    // How much of the prompt was read before is known at the end.
    const usage = { ...noUsage, promptTokens: this.#numPrompt };
    const message = { ...this.#message(usage), ...(ignored.length > 0 && { fusion: { ignored } }) };
    return [{ type: "message_start", message }];
  }

  #message(usage: Usage): Message {
    const { id, model } = this.#plan;
    return {
      id,
      type: "message",
      role: "assistant",
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      container: null,
      diagnostics: null,
      usage: {
        ...toDeltaUsage(usage),
        cache_creation: null,
        inference_geo: null,
        service_tier: "standard",
        speed: null,
      },
    };
  }
}

function eventsOf(event: ItemEvent): MessageEvent[] {
  const { item } = event;
  const { index } = item;
  switch (event.type) {
    case "begun":
      return [{ type: "content_block_start", index, content_block: begunBlock(item) }];
    case "piece": {
      const fusion = event.records.length > 0 && { fusion: { tokens: event.records } };
      return [{ type: "content_block_delta", index, delta: deltaOf(item, event.piece), ...fusion }];
    }
    case "ended": {
      const stop = { type: "content_block_stop", index } as const;
      if (item.kind !== "reasoning") return [stop];
      const delta = { type: "signature_delta", signature: "" } as const;
      return [{ type: "content_block_delta", index, delta }, stop];
    }
  }
}

function deltaOf({ kind }: AnswerItem, piece: string) {
  switch (kind) {
    case "text":
      return { type: "text_delta", text: piece } as const;
    case "reasoning":
      return { type: "thinking_delta", thinking: piece } as const;
    case "call":
      return { type: "input_json_delta", partial_json: piece } as const;
  }
}

function begunBlock({ kind, call }: AnswerItem): MessageBlock {
  switch (kind) {
    case "text":
      return { type: "text", text: "" };
    case "reasoning":
      return { type: "thinking", thinking: "", signature: "" };
    case "call":
      return { type: "tool_use", id: call.id, name: call.name, input: {}, caller: { type: "direct" } };
  }
}

/** A whole block; none of a call that was cut short, whose input is no JSON. */
function blocksOf(item: AnswerItem): MessageBlock[] {
  const block = begunBlock(item);
  switch (block.type) {
    case "text":
      return [{ ...block, text: item.text }];
    case "thinking":
      return [{ ...block, thinking: item.text }];
    case "tool_use":
      return item.isCut ? [] : [{ ...block, input: JSON.parse(item.text) as MessageInput }];
  }
}

type MessageInput = Extract<MessageBlock, { type: "tool_use" }>["input"];

function stopOf({ finishReason, stopString }: AnswerEnding): {
  stop_reason: StopReason;
  stop_sequence: string | null;
} {
  if (finishReason === "tool_calls") return { stop_reason: "tool_use", stop_sequence: null };
  if (finishReason === "length") return { stop_reason: "max_tokens", stop_sequence: null };
  return { stop_reason: stopString === null ? "end_turn" : "stop_sequence", stop_sequence: stopString };
}

function toDeltaUsage(
  usage: Usage,
): Omit<Message["usage"], "cache_creation" | "inference_geo" | "service_tier" | "speed"> {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens, fusion } = usage;
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
    output_tokens_details: reasoningTokens > 0 ? { thinking_tokens: reasoningTokens } : null,
    server_tool_use: null,
    ...(fusion !== noUsage.fusion && { fusion: toFusionUsage(fusion) }),
  };
}
