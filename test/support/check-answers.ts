import diagnostics from "node:diagnostics_channel";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect } from "vitest";
import type { z } from "zod";
import { isMessagesPath } from "../../src/api/anthropic/message-error.js";
import type { ApiContext } from "../../src/api/context.js";
import { joinedPath } from "../../src/api/middleware/plain-path.js";
import type { Route } from "../../src/api/route.js";
import { createRoutes } from "../../src/api/routes.js";
import { errorBodySchema } from "../../src/wire/error.js";
import { serverFrameSchema } from "../../src/wire/frames.js";
import { messageErrorSchema } from "../../src/wire/message.js";
import { sdkFaults } from "./sdk-schemas.js";

/** Every answer of a server that a test starts in its own process is parsed by its schema; one that is not so fails the test. */

const faults: string[] = [];
let numChecked = 0;

/** How many answers, events and frames were parsed in this file so far. */
export const numCheckedAnswers = (): number => numChecked;

afterEach(() => expect(faults.splice(0), "answers that their schemas do not know").toEqual([]));

const ports = new Set<number>();

/** From now on the answers of the server at this port are parsed. */
export function checkAnswersOf(port: number): void {
  ports.add(port);
}

const routes = createRoutes({} as ApiContext).map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll(/:\w+/g, "[^/]+")}$`),
}));

interface Begun {
  request: IncomingMessage;
  response: ServerResponse;
  server: Server;
}

diagnostics.subscribe("http.server.request.start", (message) => {
  const { request, response, server } = message as Begun;
  const address = server.address() as AddressInfo | null;
  if (!ports.has(address?.port ?? 0) || request.method === "HEAD") return;
  // Proxies ask for a whole URL.
  const [sent = ""] = (request.url ?? "").replace(/^https?:\/\/[^/]*/, "").split("?");
  const path = joinedPath(sent).replace(/(.)\/$/, "$1");
  const route = routes.find(
    ({ route: { method }, pattern }) => method === request.method && pattern.test(path),
  )?.route;
  watch(response, new AnswerCheck({ method: request.method ?? "", path }, route));
});

/** Hands everything that is written on. */
function watch(response: ServerResponse, check: AnswerCheck): void {
  const [write, end] = [response.write.bind(response), response.end.bind(response)];
  const take = (chunk: unknown) => {
    if (typeof chunk === "string" || chunk instanceof Uint8Array) check.take(response, Buffer.from(chunk));
  };
  response.write = (...given: unknown[]) => {
    take(given[0]);
    return write(...(given as Parameters<typeof write>));
  };
  response.end = (...given: unknown[]) => {
    take(given[0]);
    return end(...(given as Parameters<typeof end>));
  };
  response.once("finish", () => check.finish(response));
}

class AnswerCheck {
  readonly #request: { method: string; path: string };
  readonly #route: Route | undefined;
  readonly #error: z.ZodType;
  #text = "";
  readonly #decoder = new TextDecoder();

  constructor(request: { method: string; path: string }, route: Route | undefined) {
    this.#request = request;
    this.#error = isMessagesPath(request.path) ? messageErrorSchema : errorBodySchema;
    this.#route = route;
  }

  take(response: ServerResponse, bytes: Uint8Array): void {
    const type = typeOf(response);
    if (type !== "application/json" && type !== "text/event-stream") return;
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (type === "text/event-stream") this.#readEvents();
  }

  finish(response: ServerResponse): void {
    if (typeOf(response) !== "application/json") return;
    if (response.statusCode >= 400) this.#check(this.#error, this.#text, "error");
    else this.#check(this.#route?.json, this.#text, "whole");
  }

  #readEvents(): void {
    const events = this.#text.split("\n\n");
    this.#text = events.pop() ?? "";
    for (const event of events) {
      const data = event
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice("data: ".length);
      if (data === undefined || data === "[DONE]") continue;
      if (data.startsWith('{"error"')) this.#check(errorBodySchema, data, "error");
      else if (data.startsWith('{"type":"error"')) this.#check(this.#error, data, "error");
      else this.#check(this.#route?.event, data, "event");
    }
  }

  #check(schema: z.ZodType | undefined, text: string, kind: "whole" | "event" | "error"): void {
    const name = `${this.#request.method} ${this.#request.path}`;
    if (schema === undefined) {
      faults.push(`${name} answers what no schema is for`);
      return;
    }
    const value: unknown = JSON.parse(text);
    checkValue(schema, name, value);
    faults.push(...sdkFaults(this.#request, value, kind).map((fault) => `${name} ${fault}`));
  }
}

const typeOf = (response: ServerResponse): string =>
  String(response.getHeader("Content-Type") ?? "").split(";")[0] ?? "";

function checkValue(schema: z.ZodType, name: string, value: unknown): void {
  numChecked++;
  faults.push(...faultsOf(schema, value).map((fault) => `${name} ${fault}`));
}

/** What a schema does not know of a value. */
export function faultsOf(schema: z.ZodType, value: unknown): string[] {
  const { error } = schema.safeParse(value);
  const issues = error?.issues.slice(0, 3) ?? [];
  return issues.map(
    ({ path, message }) => `at ${path.join(".")}: ${message} in ${JSON.stringify(value).slice(0, 300)}`,
  );
}

/** The same for a frame that a server sent. */
export function checkFrame(frame: unknown): void {
  checkValue(serverFrameSchema, "WebSocket", frame);
}
