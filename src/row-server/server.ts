import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { type AccessRules, Gate, openRules } from "../api/access/gate.js";
import { anonymous } from "../api/access/key-ring.js";
import { ShouldersError } from "../errors.js";
import type { LoadedModel, ModelContext } from "../llama/types.js";
import type { Logger } from "../log.js";
import { mostFrameBytes, rowsPath } from "../rows/wire.js";
import { Rooms } from "./room.js";
import { RowDesk } from "./row-desk.js";
import { RowSession } from "./session.js";

export interface RowServerOptions {
  model: LoadedModel;
  context: ModelContext;
  /** The name by which clients may ask for it. */
  modelName: string;
  /** Of the context. */
  numSequences: number;
  maxRows: number;
  /** What one sequence may hold at most. */
  contextTokens: number;
  host: string;
  /** 0: any free one. */
  port: number;
  log: Logger;
  /** Left out: nobody is asked for a key. */
  access?: Partial<AccessRules>;
}

export interface RunningRowServer {
  address: { host: string; port: number };
  /** Ends every session, and resolves when nothing of them is in the context. */
  close(): Promise<void>;
}

/** Connections that may be open: each engine has one. */
const mostSessions = 256;
const pingMs = 20_000;

/** Gives rows of one model to engines elsewhere, over a WebSocket each. */
export async function startRowServer(options: RowServerOptions): Promise<RunningRowServer> {
  const { host, port } = options;
  const server = createServer((request, response) => {
    const isHealth = request.url === "/livez" || request.url === "/readyz";
    response.writeHead(isHealth ? 200 : 404, { "Content-Type": "application/json" });
    response.end(JSON.stringify(isHealth ? { status: "ok" } : { error: { code: "route_not_found" } }));
  });
  server.requestTimeout = 10_000;
  const endpoint = new RowEndpoint(options, server);
  server.listen({ host, port });
  await once(server, "listening");
  const { address, port: boundPort } = server.address() as AddressInfo;
  return {
    address: { host: address, port: boundPort },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      await endpoint.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

class RowEndpoint {
  readonly #options: RowServerOptions;
  readonly #gate: Gate;
  readonly #desk: RowDesk;
  readonly #rooms: Rooms;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: mostFrameBytes,
  });
  readonly #sessions = new Set<RowSession>();
  readonly #pings: NodeJS.Timeout;
  readonly #idle: (() => void)[] = [];
  #isClosing = false;

  constructor(options: RowServerOptions, server: Server) {
    this.#options = options;
    this.#gate = new Gate({ ...openRules, ...options.access });
    this.#desk = new RowDesk(options.context, options.maxRows);
    this.#rooms = new Rooms(options.numSequences, options.context.numCells);
    this.#pings = setInterval(() => this.#sessions.forEach((session) => session.checkAlive()), pingMs);
    server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => socket.destroy());
      this.#upgrade(request, socket, head);
    });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#pings);
    for (const session of this.#sessions) session.close();
    const timer = setTimeout(() => this.#sessions.forEach((session) => session.terminate()), 2_000);
    while (this.#sessions.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    clearTimeout(timer);
    await this.#desk.untilIdle();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    let owner = anonymous;
    let leave: () => void;
    try {
      this.#gate.checkOrigin(request);
      owner = this.#gate.identify(request) ?? anonymous;
      if (request.url?.split("?")[0] !== rowsPath)
        throw new ShouldersError("route_not_found", `No WebSocket here; it is at ${rowsPath}.`);
      if (this.#isClosing) throw new ShouldersError("server_closing", "The server is shutting down.");
      if (this.#sessions.size >= mostSessions)
        throw new ShouldersError("too_many_connections", `${mostSessions} engines are connected.`);
      leave = this.#gate.limiter.enter(owner);
    } catch (thrown) {
      this.#refuse(socket, owner, ShouldersError.from(thrown));
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#open(webSocket, owner, leave));
  }

  #open(webSocket: WebSocket, owner: string, leave: () => void): void {
    const { model, modelName, contextTokens, log } = this.#options;
    const startMs = performance.now();
    const parts = { desk: this.#desk, rooms: this.#rooms, model, modelName, contextTokens };
    const session = new RowSession(parts, webSocket, () => {
      this.#sessions.delete(session);
      leave();
      log.info({ key: owner, durationMs: Math.round(performance.now() - startMs) }, "an engine has left");
      if (this.#sessions.size === 0) this.#idle.splice(0).forEach((resolve) => resolve());
    });
    this.#sessions.add(session);
    log.info({ key: owner, free: this.#rooms.free }, "an engine is connected");
  }

  #refuse(socket: Duplex, owner: string, { status, code, message, type }: ShouldersError): void {
    this.#options.log.info({ key: owner, status, code }, "a connection was refused");
    const body = JSON.stringify({ error: { message, type, code } });
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
}
