import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { ShouldersError } from "../errors.js";
import type { CloseReason, Connections } from "./access/connections.js";
import { toOpenAiError } from "./openai-error.js";

interface Refusal {
  error: ShouldersError;
  requestId?: string;
  reason: CloseReason;
}

/** Answers on a socket that has no response object, and closes it, whatever the peer does. */
export function refuse(connections: Connections, socket: Duplex, refusal: Refusal): void {
  const { error, requestId, reason } = refusal;
  const { status, headers, body } = toOpenAiError(error);
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...(requestId === undefined ? [] : [`X-Request-Id: ${requestId}`]),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
  connections.linger(socket, reason);
}

/** Answers bytes that Node could not read as a request: the error's own text would repeat them. */
export function answerUnreadable(
  connections: Connections,
  { code }: NodeJS.ErrnoException,
  socket: Duplex,
): void {
  if (code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const reason = code === "ERR_HTTP_REQUEST_TIMEOUT" ? "timed_out" : "unreadable";
  // Bytes into the middle of an answer would be taken for a part of it.
  if (connections.isAnswering(socket)) connections.destroy(socket, reason);
  else refuse(connections, socket, { error: errorOf(code), reason });
}

function errorOf(code: string | undefined): ShouldersError {
  if (code === "HPE_HEADER_OVERFLOW")
    return new ShouldersError("headers_too_large", "The headers are larger than 16 KiB; send fewer.");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new ShouldersError("request_timeout", "The request did not arrive in time; send it again.");
  return new ShouldersError("invalid_request", "This is not an HTTP request that the server can read.");
}
