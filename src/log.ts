import { isatty } from "node:tty";
import pino from "pino";
import type { LogLevel } from "./config/log-level.js";
import { LineWriter, openSink } from "./line-writer.js";

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

/** Makes a line what whoever reads standard error takes. */
const toLine = isatty(2) ? humanLine : (line: string) => line;

/** Most bytes of lines that wait for whoever reads standard error. */
const maxWaitingBytes = 1024 * 1024;

let standardError: LineWriter | null = null;

/** One for the process, whatever asks for it. */
function openStandardError(): LineWriter {
  if (standardError !== null) return standardError;
  const writer = new LineWriter(openSink(2), {
    maxBytes: maxWaitingBytes,
    describeDropped: (numDropped) => {
      const msg = "log lines were dropped: nobody took them";
      return toLine(
        JSON.stringify({ level: pino.levels.values.warn, time: Date.now(), numDropped, msg }) + "\n",
      );
    },
  });
  process.on("exit", () => writer.flushAtExit());
  return (standardError = writer);
}

/** Log lines of this process that nobody took in time. */
export function numDroppedLines(): number {
  return standardError?.numDropped ?? 0;
}

/**
 * Logs go to standard error, so that standard output holds only what a command was asked for. A log never holds
 * the program up: lines that nobody takes are dropped, and counted.
 */
export function createLogger(level: LogLevel): Logger {
  const withStack = level === "debug" || level === "trace";
  const options: pino.LoggerOptions = {
    level,
    // Process id and host name are the business of whoever collects the lines.
    base: null,
    redact: { paths: privateFields.flatMap((field) => [field, `*.${field}`]), remove: true },
    serializers: { err: (error: unknown) => serializeError(error, withStack) },
  };
  const writer = openStandardError();
  return pino(options, { write: (line: string) => writer.write(toLine(line)) });
}
