import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { ApiKey } from "../../config/api-keys.js";
import { ShouldersError } from "../../errors.js";
import { networkOf } from "./network.js";
import { anonymous, KeyRing } from "./key-ring.js";
import { RequestLimiter, type RequestLimits } from "./request-limiter.js";

export interface AccessRules extends RequestLimits {
  /** None: nobody is asked for a key. */
  keys: readonly ApiKey[];
  /** Names, besides localhost and addresses, by which clients may call this server; "*": any. */
  allowedHosts: readonly string[];
  /** Origins of other sites whose pages may use this server: `https://app.example`. */
  allowedOrigins: readonly string[];
}

export const openRules: AccessRules = {
  keys: [],
  allowedHosts: [],
  allowedOrigins: [],
  requestsPerMinute: 0,
  concurrentRequests: 0,
};

/** What needs no key: health, and the page, whose files are the same for everyone. */
const openPaths = new Set(["/livez", "/readyz", "/"]);
const pageFile = /^\/playground(?:\/[\w-][\w.-]*)+$/;

/**
 * Names under domains that nobody can register: a page cannot have one. Containers call their host so
 * (`host.docker.internal`).
 */
const privateName = /^[a-z\d-]+(?:\.[a-z\d-]+)*\.(?:localhost|internal)$/;

/** OpenAI's way to show a key where a browser can set no header: a WebSocket's second subprotocol. */
const keyProtocol = "openai-insecure-api-key.";

/**
 * Who may come in. It looks at requests as they were sent, before any routing: what is not known to be open
 * needs a key, so that no spelling of a path leads past it. HTTP requests and upgrades go through the same gate.
 */
export class Gate {
  readonly #keys: KeyRing;
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  readonly #operators: ReadonlySet<string>;
  readonly limiter: RequestLimiter;

  constructor({ keys, allowedHosts, allowedOrigins, ...limits }: AccessRules) {
    this.#keys = new KeyRing(keys);
    this.#operators = new Set(keys.filter(({ isOperator = false }) => isOperator).map(({ name }) => name));
    const own = hostname().toLowerCase();
    this.#hosts = new Set([
      "localhost",
      own,
      `${own}.local`,
      ...allowedHosts.map((host) => host.toLowerCase()),
    ]);
    this.#origins = new Set(allowedOrigins);
    this.limiter = new RequestLimiter(limits);
  }

  get hasKeys(): boolean {
    return !this.#keys.isEmpty;
  }

  /** Whether one who asks may know of every other: of an operator's key, and where there are no keys. */
  isOperator(owner: string): boolean {
    return !this.hasKeys || this.#operators.has(owner);
  }

  /** Whether pages of other sites may use this server at all: answers differ by origin then. */
  get hasOrigins(): boolean {
    return this.#origins.size > 0;
  }

  /** A page of another site that was allowed to use this server. */
  isListedOrigin(origin: string | undefined): origin is string {
    return origin !== undefined && this.#origins.has(origin);
  }

  /** @throws ShouldersError for a message that two servers could read differently, a wrong host or origin. */
  checkOrigin(request: IncomingMessage): void {
    const { url = "", headers, headersDistinct, httpVersion } = request;
    const [host, ...otherHosts] = headersDistinct["host"] ?? [];
    // HTTP/1.0 knows no such header: checks of balancers speak it, browsers do not.
    const isOld = httpVersion === "1.0" && host === undefined;
    if (otherHosts.length > 0 || (!isOld && !host)) throw unreadable("Send exactly one Host header.");
    const coding = headers["transfer-encoding"];
    if (coding !== undefined && coding.toLowerCase() !== "chunked")
      throw unreadable("Transfer-Encoding may only be 'chunked'.");
    if (host !== undefined) this.#checkHost(host);
    if (!url.startsWith("/") && url !== "*") this.#checkHost(authorityOf(url));
    const { origin } = headers;
    if (origin === undefined || isSameHost(origin, host ?? "") || this.isListedOrigin(origin)) return;
    throw new ShouldersError(
      "origin_forbidden",
      "Pages of other sites may not use this server; its owner can list an origin (--allowed-origins).",
    );
  }

  /**
   * The name of the key that a request shows; null for what needs none.
   * @throws ShouldersError `invalid_api_key`
   */
  identify(request: IncomingMessage): string | null {
    const path = request.url?.split("?")[0] ?? "";
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (isRead && (openPaths.has(path) || pageFile.test(path))) return null;
    return this.#keys.nameOf(keyOf(request));
  }

  /**
   * Among whom places are shared evenly: keys or, where none are set, addresses. Those behind one proxy have one
   * address. What a header says of it counts for nothing: anybody can write it.
   */
  partyOf({ socket }: IncomingMessage, owner: string | null): string {
    return this.hasKeys ? (owner ?? anonymous) : networkOf(socket.remoteAddress ?? "");
  }

  /** Against pages that point a name of their own at this machine: their requests carry that name. */
  #checkHost(host: string): void {
    const name = /^(.*?)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase() ?? "";
    const isAddress = isIP(name) === 4 || (/^\[.*\]$/.test(name) && isIP(name.slice(1, -1)) === 6);
    if (isAddress || this.#hosts.has(name) || this.#hosts.has("*") || privateName.test(name)) return;
    throw new ShouldersError(
      "host_forbidden",
      "This server does not go by that name; use its address, or have its owner list the name (--allowed-hosts).",
    );
  }
}

function keyOf({ headers }: IncomingMessage): string | null {
  const shown = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  if (shown !== undefined) return shown;
  // Clients of Anthropic's API, and of Azure's.
  const bare = headers["x-api-key"] ?? headers["api-key"];
  if (typeof bare === "string" && bare !== "") return bare.trim();
  const protocols = headers["sec-websocket-protocol"]?.split(",").map((protocol) => protocol.trim()) ?? [];
  return protocols.find((protocol) => protocol.startsWith(keyProtocol))?.slice(keyProtocol.length) ?? null;
}

/** The host of a request in absolute form, as proxies send it. */
function authorityOf(url: string): string {
  return /^https?:\/\/([^/?#]*)/i.exec(url)?.[1] ?? "";
}

function isSameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}

function unreadable(message: string): ShouldersError {
  return new ShouldersError("invalid_request", message);
}
