import type { ErrorRequestHandler, Request, RequestHandler, Response } from "express";
import { anonymous } from "../access/key-ring.js";
import type { Refusals } from "../access/refusals.js";
import { ShouldersError } from "../../errors.js";
import { toOpenAiError } from "../openai-error.js";
import { outcomeOf } from "../metrics.js";
import { isMessagesPath, toMessageError } from "../anthropic/message-error.js";
import { localsOf } from "./locals.js";
import { joinedPath } from "./plain-path.js";

/** The last route: nothing else took the request. */
export const routeNotFound: RequestHandler = () => {
  throw new ShouldersError(
    "route_not_found",
    "No such route; the API is under /v1, for example POST /v1/chat/completions.",
  );
};

/** Takes the methods that a path does not have. */
export function methodNotAllowed(allowed: string): RequestHandler {
  return (request, response) => {
    response.set("Allow", allowed);
    throw new ShouldersError(
      "method_not_allowed",
      `${request.method} is not a method of this route; use ${allowed}.`,
    );
  };
}

/** Answers whatever a route threw, and keeps what is inside from the wire. */
export function errorHandler(refusals: Pick<Refusals, "delayMs">): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  // eslint-disable-next-line @typescript-eslint/no-unused-vars
  return (thrown: unknown, request, response, _next) => {
    const error = fromExpress(thrown) ?? ShouldersError.from(thrown);
    localsOf(response).error = error;
    if (response.destroyed) return;
    const { owner } = localsOf(response);
    // Without keys many may come from one address, and who of them was refused is not known.
    const isKnown = owner !== anonymous;
    const delayMs = isKnown && error.code === "queue_full" ? refusals.delayMs(owner) : 0;
    if (delayMs === 0) {
      send(error, request, response);
      return;
    }
    const timer = setTimeout(() => send(error, request, response), delayMs);
    response.once("close", () => clearTimeout(timer));
  };
}

function send(error: ShouldersError, request: Request, response: Response): void {
  const { status, headers, body: openAiBody } = toOpenAiError(error);
  // The gate refuses before any path is made plain.
  const isMessage = isMessagesPath(joinedPath(request.path));
  const body = isMessage ? toMessageError(error, localsOf(response).requestId) : openAiBody;
  if (response.headersSent && String(response.getHeader("Content-Type")).startsWith("text/event-stream")) {
    localsOf(response).outcome = outcomeOf(error.status);
    response.end(`${isMessage ? "event: error\n" : ""}data: ${JSON.stringify(body)}\n\n`);
    return;
  }
  if (response.headersSent) {
    // Too late for a status: a cut connection is the only honest end.
    response.destroy();
    return;
  }
  response.status(status).set(headers).json(body);
}

/** What express and body-parser throw: a type or a status, and a message that may repeat the body. */
function fromExpress(thrown: unknown): ShouldersError | null {
  if (!(thrown instanceof Error) || thrown instanceof ShouldersError) return null;
  const { type, status, limit } = thrown as Error & { type?: string; status?: number; limit?: number };
  if (type === "entity.too.large")
    return new ShouldersError("payload_too_large", `The body is larger than ${limit ?? 0} bytes.`);
  if (status === 415)
    return new ShouldersError(
      "unsupported_media_type",
      "Send the body as UTF-8, plain or compressed with gzip, deflate or br.",
    );
  if (status !== undefined && status >= 400 && status < 500)
    return new ShouldersError("invalid_request", "The request could not be read; check its URL and body.");
  return null;
}
