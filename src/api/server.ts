import { once, setMaxListeners } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import type { Engine } from "../engine/protocol.js";
import { ShouldersError } from "../errors.js";
import { TraceStore } from "../trace/store.js";
import { Gate, openRules, type AccessRules } from "./access/gate.js";
import { createApp } from "./app.js";
import { defaultLimits, type ApiContext, type ServerLimits } from "./context.js";
import { Metrics } from "./metrics.js";
import { answerUnreadable, rememberAnswer } from "./unreadable.js";
import { StreamEndpoint } from "./websocket/endpoint.js";

export interface ServerOptions extends Partial<ServerLimits> {
  engine: Engine;
  host: string;
  /** 0: any free one. */
  port: number;
  log: Logger;
  version: string;
  /** Left out: nobody is asked for a key, and no other name or site is known. */
  access?: Partial<AccessRules>;
}

export interface RunningServer {
  address: { host: string; port: number };
  /** Takes nothing new, lets what runs finish within its grace, then cuts it. Resolves when all is closed. */
  close(): Promise<void>;
}

/** Against peers that take their time; Node's own defaults are longer, or checked twice a minute. */
const httpLimits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 15_000,
  requestTimeout: 120_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 75_000,
};

function createHttpServer(context: ApiContext): Server {
  const server = createServer(httpLimits, createApp(context));
  server.maxConnections = context.limits.connections;
  server.on("clientError", answerUnreadable);
  server.on("request", (request, response) => {
    rememberAnswer(request, response);
    // Whoever does not take what is left of an answer may not keep it in memory.
    response.once("prefinish", () =>
      response.setTimeout(context.limits.drainTimeoutMs, () => response.destroy()),
    );
    // While closing, a kept-alive connection would hold the server open: cut each as soon as its answer is out.
    response.once("close", () => {
      if (context.closing.aborted) server.closeIdleConnections();
    });
  });
  return server;
}

/** Serves the API of an engine, which may still be loading. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { engine, host, port, log, version, access, ...given } = options;
  const limits = { ...defaultLimits, ...given };
  const closing = new AbortController();
  const cut = new AbortController();
  // One for each running request.
  setMaxListeners(0, cut.signal);
  const context: ApiContext = {
    engine,
    log,
    version,
    limits,
    traces: new TraceStore({ maxBytes: limits.traceBytes, maxAgeMs: limits.traceAgeMs }),
    metrics: new Metrics(engine),
    gate: new Gate({ ...openRules, ...access }),
    startedAt: Math.floor(Date.now() / 1000),
    closing: closing.signal,
    cut: cut.signal,
  };
  const server = createHttpServer(context);
  const stream = new StreamEndpoint(context, server);
  // Old traces go also when nobody asks.
  const purges = setInterval(() => context.traces.purge(), 60_000);
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    clearInterval(purges);
    stream.terminate();
    throw error;
  }

  const close = async (): Promise<void> => {
    closing.abort();
    const closed = once(server, "close");
    server.close();
    stream.closeWhenIdle();
    const timers = [
      setTimeout(() => {
        const error = new ShouldersError(
          "server_closing",
          "The server was stopped before the answer was complete.",
        );
        cut.abort(error);
        stream.cut(error);
      }, limits.closeGraceMs),
      // Whoever has not read the error by then will not.
      setTimeout(() => {
        stream.terminate();
        server.closeAllConnections();
      }, limits.closeGraceMs + 1000),
    ];
    await closed;
    timers.forEach((timer) => clearTimeout(timer));
    clearInterval(purges);
    stream.terminate();
  };
  const { address, port: boundPort } = server.address() as AddressInfo;
  let closed: Promise<void> | null = null;
  return { address: { host: address, port: boundPort }, close: () => (closed ??= close()) };
}
