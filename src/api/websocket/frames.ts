import { z } from "zod";
import type { OpenAiErrorBody } from "../openai-error.js";
import type { ChatLogprobs, TextLogprobs } from "../openai/logprobs.js";
import type { TokenRecord } from "../../trace/record.js";
import type { UsageRecord } from "../../trace/store.js";

/** The frames of the WebSocket: JSON text, named after OpenAI's Realtime events. */

const id = z.string().regex(/^[\w.-]{1,64}$/, "expected 1 to 64 letters, digits, '_', '.' or '-'");
const eventId = z.string().max(128).nullish().describe("Repeated in the error that this frame causes.");

export const clientFrameSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("response.create"),
    event_id: eventId,
    response: z
      .looseObject({ id: id.nullish().describe("Default: the completion's id.") })
      .describe("A body of /v1/chat/completions (with messages) or /v1/completions (with prompt)."),
  }),
  z.strictObject({ type: z.literal("response.cancel"), event_id: eventId, response_id: z.string() }),
  z.strictObject({ type: z.literal("ping"), event_id: eventId }),
]);

export type ClientFrame = z.output<typeof clientFrameSchema>;

export type ResponseStatus = "completed" | "cancelled" | "incomplete" | "failed";

/** A function's call, as a message of the next turn takes it. */
export interface MadeCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface EndedChoice {
  index: number;
  output_text: string;
  /** Where there are any. */
  tool_calls?: MadeCall[];
  /** null: it did not come to its end. */
  finish_reason: string | null;
}

export interface EndedResponse {
  id: string;
  status: ResponseStatus;
  /** Text of the first choice. */
  output_text: string;
  choices: EndedChoice[];
  /** Usage of all choices together. */
  usage: UsageRecord;
  /** How the first choice ended. */
  finish_reason: string | null;
  error?: OpenAiErrorBody["error"];
}

/** Whose frame it is; prompt p of a list has the choices p·n … p·n + n − 1. */
export interface ChoicePlace {
  response_id: string;
  choice_index: number;
}

export type ChoiceFrame = ChoicePlace &
  (
    | {
        type: "response.output_text.delta";
        delta: string;
        tokens: TokenRecord[];
        /** Where the request asked for log-probabilities; in the shape of its endpoint. */
        logprobs?: ChatLogprobs | TextLogprobs;
      }
    | { type: "response.function_call_arguments.delta"; call_id: string; name: string; delta: string }
    | { type: "response.function_call_arguments.done"; call_id: string; name: string; arguments: string }
    | { type: "response.output_text.done"; text: string }
  );

export type ServerFrame =
  | { type: "session.created"; session: SessionDescription }
  | {
      type: "response.created";
      response: {
        id: string;
        status: "in_progress";
        model: string;
        trace_id: string;
        /** Fields that were ignored, where any were. */
        fusion?: { ignored: string[] };
      };
    }
  | ChoiceFrame
  | { type: "response.done"; response: EndedResponse }
  | { type: "error"; error: OpenAiErrorBody["error"] & { event_id?: string } }
  | { type: "pong"; event_id?: string };

export interface SessionDescription {
  id: string;
  models: string[];
  limits: { responses: number; frame_bytes: number };
}
