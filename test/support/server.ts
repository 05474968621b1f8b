import { onTestFinished } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/api/server.js";
import type { Engine } from "../../src/protocol/protocol.js";
import { checkAnswersOf } from "./check-answers.js";
import { FakeEngine } from "./fake-engine.js";
import { silentLogger } from "./silent-logger.js";

export interface TestServer {
  engine: FakeEngine;
  /** `http://127.0.0.1:PORT` */
  url: string;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  /** Closes when the test has finished, too. */
  close(): Promise<void>;
}

export interface Served {
  server: RunningServer;
  /** `http://127.0.0.1:PORT` */
  url: string;
}

/** A real server on a free port; who starts it closes it. */
export async function serve(engine: Engine, options: Partial<ServerOptions> = {}): Promise<Served> {
  const server = await startServer({
    engine,
    host: "127.0.0.1",
    port: 0,
    log: silentLogger,
    version: "0.0.0",
    closeGraceMs: 0,
    ...options,
  });
  checkAnswersOf(server.address.port);
  return { server, url: `http://127.0.0.1:${server.address.port}` };
}

/** A real server on a free port, with a scripted engine; closed when the test ends. */
export async function startTestServer(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const engine = options.engine instanceof FakeEngine ? options.engine : new FakeEngine();
  const { server, url } = await serve(engine, { closeGraceMs: 1, ...options });
  onTestFinished(() => server.close());
  return {
    engine,
    url,
    post: (path, body, init = {}) =>
      fetch(url + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
      }),
    close: () => server.close(),
  };
}

/** The data of a whole SSE answer: parsed, `[DONE]` as it is. */
export async function readEvents(response: Response): Promise<unknown[]> {
  const lines = (await response.text()).split("\n").filter((line) => line.startsWith("data: "));
  return lines
    .map((line) => line.slice("data: ".length))
    .map((data) => (data === "[DONE]" ? data : (JSON.parse(data) as unknown)));
}

/** One line of the metrics. */
export async function metricOf(server: TestServer, line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const found = text.split("\n").find((candidate) => candidate.startsWith(`${line} `));
  return found === undefined ? 0 : Number(found.slice(line.length + 1));
}
