import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import { present, ShouldersError } from "../../errors.js";
import { allBusy } from "../access/connections.js";
import { networkOf } from "../access/network.js";
import { anonymous } from "../access/key-ring.js";
import type { ApiContext } from "../context.js";
import { outcomeOf } from "../metrics.js";
import { requestIdOf } from "../middleware/observe.js";
import { refuse } from "../unreadable.js";
import { StreamSession, streamRoute } from "./session.js";

interface SocketClient {
  requestId: string;
  /** Name of the key. */
  owner: string;
  party: string;
  startedAt: number;
}

/** The subprotocol of a client that shows its key in the other one. */
const subprotocol = "realtime";

/** `GET /v1/stream`: takes upgrades of an HTTP server and keeps the sessions that come of them. */
export class StreamEndpoint {
  readonly #context: ApiContext;
  readonly #sockets: WebSocketServer;
  readonly #sessions = new Set<StreamSession>();
  /** The same by party, the oldest first. */
  readonly #sessionsOf = new Map<string, Set<StreamSession>>();
  readonly #pings: NodeJS.Timeout;

  constructor(context: ApiContext, server: Server) {
    this.#context = context;
    // closeTimeout is missing in the types of ws.
    const options: ServerOptions & { closeTimeout: number } = {
      noServer: true,
      // Pongs to one who does not read would fill the memory: the session answers.
      autoPong: false,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: context.limits.socketFrameBytes,
      closeTimeout: context.limits.socketCloseMs,
      // Never the one that holds a key.
      handleProtocols: (offered) => offered.has(subprotocol) && subprotocol,
    };
    this.#sockets = new WebSocketServer(options);
    this.#pings = setInterval(() => this.#checkAlive(), context.limits.socketPingMs);
    server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => socket.destroy());
      // Answers to what was asked before on the same connection are not overtaken.
      context.connections.whenAnswered(socket, () => {
        if (request.headers.upgrade?.toLowerCase() === "websocket") {
          const network = networkOf(request.socket.remoteAddress ?? "");
          context.turns.take(network, () => this.#upgrade(request, socket, head));
        } else {
          context.connections.putBack(socket);
          serveWithoutUpgrade(server, { request, socket, head });
        }
      });
    });
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Every session ends with 1001 once its responses are done. */
  closeWhenIdle(): void {
    for (const session of this.#sessions) session.closeWhenIdle();
  }

  /** Every running response fails with this. */
  cut(reason: ShouldersError): void {
    for (const session of this.#sessions) session.cut(reason);
  }

  /** Ends what is left, at once. */
  terminate(): void {
    clearInterval(this.#pings);
    for (const session of this.#sessions) session.terminate();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const client: SocketClient = {
      requestId: requestIdOf(request.headers["x-request-id"]),
      owner: anonymous,
      party: anonymous,
      startedAt: performance.now(),
    };
    try {
      client.owner = this.#admit(request);
      client.party = this.#context.gate.partyOf(request, client.owner);
    } catch (thrown) {
      this.#refuse(socket, client, ShouldersError.from(thrown));
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#open(webSocket, client));
  }

  /**
   * Everything that can be wrong is wrong before the 101.
   * @returns whose socket it is
   * @throws ShouldersError
   */
  #admit(request: IncomingMessage): string {
    const { gate, closing, limits } = this.#context;
    gate.checkOrigin(request);
    const owner = gate.identify(request) ?? anonymous;
    const path = request.url?.split("?")[0];
    if (path !== streamRoute && path !== streamRoute.replace("/v1", ""))
      throw new ShouldersError("route_not_found", `No WebSocket here; it is at ${streamRoute}.`);
    if (closing.aborted) throw new ShouldersError("server_closing", "The server is shutting down.");
    if (this.#context.connections.isReserved(request.socket)) throw allBusy();
    if (this.#sessions.size >= limits.sockets) this.#makeRoom(gate.partyOf(request, owner));
    return owner;
  }

  /**
   * Who has the most sockets loses one to who has fewer: keys or, without keys, addresses.
   * @throws ShouldersError where the newcomer would have as many
   */
  #makeRoom(party: string): void {
    const none = new Set<StreamSession>();
    const most = [...this.#sessionsOf.values()].reduce((a, b) => (b.size > a.size ? b : a), none);
    const numOwn = this.#sessionsOf.get(party)?.size ?? 0;
    if (most.size <= numOwn + 1)
      throw new ShouldersError(
        "too_many_responses",
        `${this.#sessions.size} sockets are open, of yours your share: try again later.`,
      );
    const newestFirst = [...most].reverse();
    const leaving = present(newestFirst.find((session) => session.isIdle) ?? newestFirst[0], "session");
    this.#forget(leaving);
    leaving.giveWay();
  }

  #keep(session: StreamSession): void {
    this.#sessions.add(session);
    const own = this.#sessionsOf.get(session.party) ?? new Set();
    this.#sessionsOf.set(session.party, own.add(session));
  }

  #forget(session: StreamSession): void {
    this.#sessions.delete(session);
    const own = this.#sessionsOf.get(session.party);
    own?.delete(session);
    if (own?.size === 0) this.#sessionsOf.delete(session.party);
  }

  #open(webSocket: WebSocket, { requestId, owner, party, startedAt }: SocketClient): void {
    const session = new StreamSession(this.#context, webSocket, { owner, party });
    this.#keep(session);
    webSocket.once("close", (code) => {
      this.#forget(session);
      const durationMs = Math.round(performance.now() - startedAt);
      this.#context.log.info(
        { requestId, route: streamRoute, key: owner, code, durationMs },
        "socket closed",
      );
    });
  }

  #refuse(socket: Duplex, { requestId, owner }: SocketClient, error: ShouldersError): void {
    const { metrics, log } = this.#context;
    const labels = { route: streamRoute, model: "none", outcome: outcomeOf(error.status) };
    metrics.requestStarted();
    metrics.requestEnded({ ...labels, owner });
    const line = { requestId, method: "GET", ...labels, key: owner, status: error.status, code: error.code };
    log.info(line, "request ended");
    refuse(this.#context.connections, socket, { error, requestId, reason: "refused" });
  }

  #checkAlive(): void {
    for (const session of this.#sessions) session.checkAlive();
  }
}

/**
 * Some clients (Java's, `curl --http2`) offer to speak HTTP/2 on every first request. A server may ignore the
 * offer; Node takes any upgrade out of HTTP once one listener is there, so the request is put back without it.
 */
function serveWithoutUpgrade(
  server: Server,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
): void {
  const dropped = new Set(["upgrade", "connection", "http2-settings"]);
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const [name = "", value = ""] = request.rawHeaders.slice(index, index + 2);
    if (!dropped.has(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  // The time for which a connection may wait between two requests is over.
  request.socket.setTimeout(0);
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
  server.emit("connection", socket);
}
