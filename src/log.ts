import pino from "pino";
import type { LogLevel } from "./config/log-level.js";

export type Logger = pino.Logger;

/** What a log line must never carry: texts of requests and answers, keys. Removed wherever it is passed by mistake. */
const privateFields = [
  "prompt",
  "messages",
  "content",
  "text",
  "delta",
  "body",
  "headers",
  "authorization",
  "apiKey",
  "token",
];

/** Code and message of an error; its stack only where somebody debugs. */
function serializeError(error: unknown, withStack: boolean): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = "code" in error ? { code: error.code } : {};
  const cause = error.cause === undefined ? {} : { cause: serializeError(error.cause, withStack) };
  const stack = withStack ? { stack: error.stack } : {};
  return { type: error.name, ...code, message: error.message, ...cause, ...stack };
}

/** Writes a JSON log line for a reader at a terminal: `15:04:05 info  engine ready pid=17`. */
function humanLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const { level, time, msg, ...rest } = record;
  const clock = new Date(Number(time)).toTimeString().slice(0, 8);
  const name = pino.levels.labels[Number(level)] ?? String(level);
  const fields = Object.entries(rest).map(([key, value]) => {
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    return `${key}=${shown}`;
  });
  return [clock, name.padEnd(5), String(msg), ...fields].join(" ") + "\n";
}

/** Logs go to standard error, so that standard output holds only what a command was asked for. */
export function createLogger(level: LogLevel): Logger {
  const withStack = level === "debug" || level === "trace";
  const options: pino.LoggerOptions = {
    level,
    // Process id and host name are the business of whoever collects the lines.
    base: null,
    redact: { paths: privateFields.flatMap((field) => [field, `*.${field}`]), remove: true },
    serializers: { err: (error: unknown) => serializeError(error, withStack) },
  };
  if (process.stderr.isTTY)
    return pino(options, { write: (line: string) => void process.stderr.write(humanLine(line)) });
  return pino(options, pino.destination({ fd: 2, sync: true }));
}
