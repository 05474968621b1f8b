import type { ShouldersError } from "../errors.js";
import type { ErrorBody } from "../wire/error.js";

export interface OpenAiError {
  status: number;
  headers: Record<string, string>;
  body: ErrorBody;
}

/** How an error looks to a client. What went wrong inside is for the log, not for the wire. */
export function toOpenAiError(error: ShouldersError): OpenAiError {
  const message = error.code === "internal" ? "Internal error: see the server's log." : error.message;
  return {
    status: error.status,
    headers: headersOf(error),
    body: { error: { message, type: error.type, param: error.param, code: error.code } },
  };
}

/** Seconds after which a new try may succeed, and how to show a key. */
function headersOf({ status, retryAfterSeconds }: ShouldersError): Record<string, string> {
  if (status === 429) return { "Retry-After": String(retryAfterSeconds ?? 1) };
  if (status === 503) return { "Retry-After": String(retryAfterSeconds ?? 5) };
  if (status === 401) return { "WWW-Authenticate": "Bearer" };
  return {};
}
