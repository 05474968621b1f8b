import type { ShouldersError } from "../../errors.js";
import type { MessageError, MessageErrorType } from "../../wire/message.js";
import { toOpenAiError } from "../openai-error.js";

/** Whether a path is of Anthropic's API, whose errors have a shape of their own. */
export function isMessagesPath(path: string): boolean {
  return /^(?:\/v1)?\/messages(?:\/|$)/.test(path);
}

/** How an error looks to a client of Anthropic's API; status and headers are OpenAI's. */
export function toMessageError(error: ShouldersError, requestId: string): MessageError {
  const { message } = toOpenAiError(error).body.error;
  return { type: "error", error: { type: typeOf(error.status), message }, request_id: requestId };
}

function typeOf(status: number): MessageErrorType {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 404) return "not_found_error";
  if (status === 408) return "timeout_error";
  if (status === 429) return "rate_limit_error";
  if (status === 503) return "overloaded_error";
  return status < 500 ? "invalid_request_error" : "api_error";
}
