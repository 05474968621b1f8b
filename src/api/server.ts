import { once, setMaxListeners } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import type { Models } from "../protocol/models.js";
import type { Engine } from "../protocol/protocol.js";
import { ShouldersError } from "../errors.js";
import { CreditDesk } from "../feedback/credit-desk.js";
import { PolicyDesk } from "../feedback/policy-desk.js";
import { FeedbackLog } from "../feedback/feedback-log.js";
import { Journal } from "../store/journal.js";
import { MemoryStore } from "../store/memory-store.js";
import type { Retention, Store } from "../store/store.js";
import { TraceStore } from "../trace/store.js";
import type { TraceLevel } from "../wire/token-record.js";
import { Bodies } from "./access/bodies.js";
import { shareLimits } from "./access/shared-limits.js";
import { Connections } from "./access/connections.js";
import { fitConnections } from "./access/descriptors.js";
import { networkOf } from "./access/network.js";
import { Turns } from "./access/turns.js";
import { Gate, openRules, type AccessRules } from "./access/gate.js";
import { createApp } from "./app.js";
import { defaultLimits, type ApiContext, type ServerLimits } from "./context.js";
import { isHealth } from "./health.js";
import { fixedModels } from "./fixed-models.js";
import { Metrics } from "./metrics.js";
import { GrammarDesk } from "./completion/grammar-desk.js";
import { BackgroundRuns } from "./openai/background.js";
import { ConversationStore } from "./openai/conversation-store.js";
import { ResponseStore } from "./openai/response-store.js";
import { answerUnreadable } from "./unreadable.js";
import { StreamEndpoint } from "./websocket/endpoint.js";

export interface ServerOptions extends Partial<ServerLimits> {
  engine: Engine;
  /** Left out: the engine's, which are all loaded. */
  models?: Models;
  host: string;
  /** 0: any free one. */
  port: number;
  log: Logger;
  version: string;
  /** Name of this server among others, for ids and a header. Default: none. */
  replica?: string;
  /** What is kept of the tokens of an answer whose request does not say. Default: off. */
  keptTrace?: TraceLevel;
  /** Where feedback and responses are kept; closed with the server. Left out: in memory. */
  store?: Store;
  /** Whether answers may be rated, and whether their texts are kept with that. Default: yes, no. */
  takesFeedback?: boolean;
  keepsTexts?: boolean;
  /** Left out: nobody is asked for a key, and no other name or site is known. */
  access?: Partial<AccessRules>;
  /** Lines that the log lost since the start, for the metrics. Default: none. */
  numDroppedLogLines?: () => number;
}

export interface RunningServer {
  address: { host: string; port: number };
  /** Takes nothing new, lets what runs finish within its grace, then cuts it. Resolves when all is closed. */
  close(): Promise<void>;
}

/** Bodies of the largest size that are held at a time. */
const mostBodies = 8;

function createHttpServer(context: ApiContext): Server {
  const { connections, limits, turns } = context;
  const app = createApp(context);
  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: limits.connectionCheckMs,
      keepAliveTimeout: limits.keepAliveConnectionMs,
    },
    (request, response) => {
      // Health is answered at once, but not a thousand times on one connection.
      if (isHealth(request.url) && connections.numOpen(request.socket) <= 1) app(request, response);
      else
        turns.take(networkOf(request.socket.remoteAddress ?? ""), () => {
          if (!response.destroyed) app(request, response);
        });
    },
  );
  // Their bytes are bounded. Node would leave out those past its number without a word, and the gate must see all.
  server.maxHeadersCount = 0;
  connections.watch(server);
  server.prependListener("connection", () => turns.connected());
  server.on("clientError", (error, socket) => answerUnreadable(connections, error, socket));
  // Node would refuse what it does not know before anybody is asked who he is.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("request", (request, response) => {
    // Whoever does not take what is left of an answer may not keep it in memory.
    response.once("prefinish", () =>
      response.setTimeout(limits.drainTimeoutMs, () => connections.destroy(request.socket, "unread")),
    );
    // The time is the answer's, not its connection's: the next one has its own.
    response.prependOnceListener("finish", () => request.socket.setTimeout(0));
    // While closing, a kept-alive connection would hold the server open: cut each as soon as its answer is out.
    response.once("close", () => {
      if (context.closing.aborted) server.closeIdleConnections();
    });
  });
  return server;
}

function createContext(options: ServerOptions) {
  const {
    engine,
    models = fixedModels(options.engine),
    log,
    version,
    access,
    replica = "",
    keptTrace = "off",
    store = new MemoryStore(),
    takesFeedback = true,
    keepsTexts = false,
    ...given
  } = options;
  const limits = { ...defaultLimits, ...given };
  const fitted = fitConnections(limits.connections);
  if (fitted.connections < limits.connections)
    log.warn(fitted, "fewer connections than usual: the process may open no more files (ulimit -n)");
  limits.connections = fitted.connections;
  const closing = new AbortController();
  const cut = new AbortController();
  // One for each running request.
  setMaxListeners(0, cut.signal);
  const metrics = new Metrics(engine);
  const context: ApiContext = {
    engine,
    models,
    log,
    version,
    replica,
    keptTrace,
    limits,
    traces: new TraceStore({ maxBytes: limits.traceBytes, maxAgeMs: limits.traceAgeMs }),
    ...keptThings(store, { isOn: takesFeedback, keepsTexts, limits, log }),
    background: new BackgroundRuns(),
    metrics,
    connections: new Connections(limits, log, (reason) => metrics.connectionClosed(reason)),
    bodies: new Bodies(mostBodies * limits.bodyBytes),
    turns: new Turns(),
    grammars: new GrammarDesk(),
    gate: new Gate({ ...openRules, ...access }),
    startedAt: Math.floor(Date.now() / 1000),
    closing: closing.signal,
    cut: cut.signal,
  };
  return { context, closing, cut };
}

/** What outlives the process: ratings, and what `/v1/responses` keeps. */
function keptThings(
  store: Store,
  { limits, log, ...settings }: { isOn: boolean; keepsTexts: boolean; limits: ServerLimits; log: Logger },
): Pick<ApiContext, "journal" | "responses" | "conversations" | "feedback" | "credit" | "policies"> {
  const journal: Journal = new Journal(store, {
    retentions: (): Retention[] => [feedback.retention, responses.retention],
    onTrouble: (reason) => {
      if (reason === null) log.info("feedback is on again, and responses are kept");
      else log.error({ reason }, "feedback is off, and no response is kept: the store cannot be written");
    },
  });
  const responses = new ResponseStore(journal, {
    maxBytes: limits.responseBytes,
    maxAgeMs: limits.responseAgeMs,
  });
  const conversations = new ConversationStore(journal, { maxAgeMs: limits.responseAgeMs });
  const feedback = new FeedbackLog(journal, {
    ...settings,
    maxBytes: limits.feedbackBytes,
    maxAgeMs: limits.feedbackAgeMs,
  });
  const [credit, policies] = [new CreditDesk(feedback), new PolicyDesk(feedback)];
  return { journal, responses, conversations, feedback, credit, policies };
}

/** Serves the API of an engine, which may still be loading. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { context, closing, cut } = createContext(options);
  const { connections, limits } = context;
  const server = createHttpServer(context);
  const stream = new StreamEndpoint(context, server);
  context.metrics.observeServer({
    connections: () => connections.size,
    webSockets: () => stream.size,
    takesFeedback: () => context.feedback.trouble === null,
    droppedLogLines: options.numDroppedLogLines ?? (() => 0),
  });
  // What is old goes also when nobody asks.
  const purges = setInterval(() => {
    context.traces.purge();
    void context.journal.purge();
  }, limits.purgeEveryMs);
  const stopSharing = shareLimits(context.gate.limiter, context.journal);
  // Whether it can be written is known before anybody rates.
  void context.journal.purge();
  // More may come between two turns of the event loop than Node's default lets wait.
  server.listen({ port: options.port, host: options.host, backlog: 4096 });
  try {
    await once(server, "listening");
  } catch (error) {
    clearInterval(purges);
    stopSharing();
    stream.terminate();
    connections.destroyAll();
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
        connections.destroyAll();
      }, limits.closeGraceMs + 1000),
    ];
    await Promise.all([closed, context.background.settled()]);
    timers.forEach((timer) => clearTimeout(timer));
    clearInterval(purges);
    stopSharing();
    stream.terminate();
    connections.destroyAll();
    await context.grammars[Symbol.asyncDispose]();
    await context.journal.close();
  };
  const { address, port: boundPort } = server.address() as AddressInfo;
  let closed: Promise<void> | null = null;
  return { address: { host: address, port: boundPort }, close: () => (closed ??= close()) };
}
