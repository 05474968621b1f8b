import { STATUS_CODES, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { type ServerOptions, WebSocketServer } from "ws";
import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { toOpenAiError } from "../openai-error.js";
import { StreamSession, streamRoute } from "./session.js";

/** `GET /v1/stream`: takes upgrades of an HTTP server and keeps the sessions that come of them. */
export class StreamEndpoint {
  readonly #context: ApiContext;
  readonly #sockets: WebSocketServer;
  readonly #sessions = new Set<StreamSession>();
  readonly #pings: NodeJS.Timeout;

  constructor(context: ApiContext, server: Server) {
    this.#context = context;
    // closeTimeout is missing in the types of ws.
    const options: ServerOptions & { closeTimeout: number } = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: context.limits.socketFrameBytes,
      closeTimeout: context.limits.socketCloseMs,
    };
    this.#sockets = new WebSocketServer(options);
    this.#pings = setInterval(() => this.#checkAlive(), context.limits.socketPingMs);
    server.on("upgrade", (request, socket, head) => {
      if (request.headers.upgrade?.toLowerCase() === "websocket") this.#upgrade(request, socket, head);
      else serveWithoutUpgrade(server, { request, socket, head });
    });
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
    socket.on("error", () => socket.destroy());
    const refusal = this.#refusalOf(request);
    if (refusal !== null) {
      refuse(socket, refusal);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const session = new StreamSession(this.#context, webSocket);
      this.#sessions.add(session);
      webSocket.once("close", () => this.#sessions.delete(session));
    });
  }

  #refusalOf({ url, headers }: IncomingMessage): ShouldersError | null {
    if (url?.split("?")[0] !== streamRoute)
      return new ShouldersError("route_not_found", `No WebSocket here; it is at ${streamRoute}.`);
    if (this.#context.closing.aborted)
      return new ShouldersError("server_closing", "The server is shutting down.");
    if (headers.origin !== undefined && !isSameHost(headers.origin, headers.host))
      return new ShouldersError("origin_forbidden", "Pages of other sites may not connect.");
    return null;
  }

  #checkAlive(): void {
    for (const session of this.#sessions) session.checkAlive();
  }
}

/** Browsers let any page open a WebSocket to any server, and send the page's origin along. */
function isSameHost(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
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
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
  server.emit("connection", socket);
}

function refuse(socket: Duplex, error: ShouldersError): void {
  const { status, headers, body } = toOpenAiError(error);
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}
