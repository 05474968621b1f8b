import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { ShouldersError } from "../errors.js";
import { toOpenAiError } from "./openai-error.js";

/** Answers on a socket that has no response object, and closes it. */
export function refuse(socket: Duplex, error: ShouldersError, requestId: string | null = null): void {
  const { status, headers, body } = toOpenAiError(error);
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...(requestId === null ? [] : [`X-Request-Id: ${requestId}`]),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}

/** Answers that are not over, by their connection. */
const socketToAnswers = new WeakMap<Duplex, Set<ServerResponse>>();

export function rememberAnswer({ socket }: IncomingMessage, response: ServerResponse): void {
  const answers = socketToAnswers.get(socket) ?? new Set();
  socketToAnswers.set(socket, answers.add(response));
  response.once("close", () => answers.delete(response));
}

/** Answers bytes that Node could not read as a request: the error's own text would repeat them. */
export function answerUnreadable({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  // Bytes into the middle of an answer would be taken for a part of it.
  const isWriting = [...(socketToAnswers.get(socket) ?? [])].some(({ headersSent }) => headersSent);
  if (code === "ECONNRESET" || !socket.writable || isWriting) socket.destroy();
  else refuse(socket, errorOf(code));
}

function errorOf(code: string | undefined): ShouldersError {
  if (code === "HPE_HEADER_OVERFLOW")
    return new ShouldersError("headers_too_large", "The headers are larger than 16 KiB; send fewer.");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new ShouldersError("request_timeout", "The request did not arrive in time; send it again.");
  return new ShouldersError("invalid_request", "This is not an HTTP request that the server can read.");
}
