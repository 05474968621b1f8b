import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import { ShouldersError } from "../../errors.js";
import { networkOf } from "./network.js";

/**
 * Why a connection was ended or not taken. `timed_out`: what it began to send did not arrive; `unreadable`: it was no
 * HTTP; `refused`: an upgrade that may not be; `unread`: what was sent was not read; `silent`, `idle`: it had sent
 * nothing, or was between requests, and its place was needed; `full`: all places are busy.
 */
export type CloseReason = "timed_out" | "unreadable" | "refused" | "unread" | "silent" | "idle" | "full";

export interface ConnectionLimits {
  /** Most connections, the reserve for health included. */
  connections: number;
  /** How long a connection may go on after its last answer. */
  lingerMs: number;
}

interface Place {
  address: string;
  /** Taken when all others were busy: health is answered on it, and nothing else. */
  isReserved: boolean;
  /** Those that are not over, in the order of their requests. */
  answers: Set<ServerResponse>;
  isUpgraded: boolean;
}

/** Connections without an open answer, in the order in which they began to wait. */
class Waiting {
  readonly silent = new Set<Duplex>();
  readonly idle = new Set<Duplex>();

  delete(socket: Duplex): void {
    this.silent.delete(socket);
    this.idle.delete(socket);
  }

  /** Whoever never asked goes first. */
  longest(): [Duplex, CloseReason] | null {
    for (const socket of this.silent) return [socket, "silent"];
    for (const socket of this.idle) return [socket, "idle"];
    return null;
  }
}

interface Address {
  numConnections: number;
  waiting: Waiting;
}

/** The answer on a connection of the reserve. */
export function allBusy(): ShouldersError {
  return new ShouldersError(
    "too_many_connections",
    "The server has as many connections as it can hold, and all are busy; try again later.",
  );
}

const logIntervalMs = 10_000;

/**
 * Every connection of the server. When all places are taken, one that waits for its peer gives way to a new one; when
 * all are busy, a reserve is left that answers `/livez` and `/readyz`. No address has more than half of the
 * places, and no key more than a quarter of them in open requests.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #numReserved: number;
  readonly #places = new Map<Duplex, Place>();
  readonly #addresses = new Map<string, Address>();
  readonly #waiting = new Waiting();
  readonly #reserved = new Set<Duplex>();
  readonly #ownerToOpen = new Map<string, number>();
  readonly #onClose: (reason: CloseReason) => void;
  readonly #log: Logger;
  #untold: Partial<Record<CloseReason, number>> = {};
  #tellTimer: NodeJS.Timeout | null = null;

  constructor(limits: ConnectionLimits, log: Logger, onClose: (reason: CloseReason) => void) {
    this.#limits = limits;
    this.#log = log;
    this.#onClose = onClose;
    this.#numReserved = Math.min(64, Math.max(1, Math.floor(limits.connections / 8)));
  }

  get size(): number {
    return this.#places.size;
  }

  watch(server: Server): void {
    // Behind what is decided here; connections that end are counted until the system has closed them.
    server.maxConnections = this.#limits.connections + this.#numReserved;
    server.on("drop", () => this.note("full"));
    server.prependListener("connection", (socket: Socket) => this.#enter(socket));
    server.prependListener("request", (request: IncomingMessage, response: ServerResponse) =>
      this.#answer(request, response),
    );
  }

  /** Counts the end of a connection, and logs it with others of the same seconds. */
  note(reason: CloseReason): void {
    this.#onClose(reason);
    this.#untold[reason] = (this.#untold[reason] ?? 0) + 1;
    if (this.#tellTimer !== null) return;
    this.#tell();
    this.#tellTimer = setInterval(() => this.#tell(), logIntervalMs).unref();
  }

  /** Ends a connection whose last answer is on its way: as soon as the peer has it, or leaves it lying. */
  linger(socket: Duplex, reason: CloseReason): void {
    this.note(reason);
    // What the peer still sends would turn the end into a reset that takes the answer with it.
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), this.#limits.lingerMs);
    socket.once("close", () => clearTimeout(timer));
  }

  destroy(socket: Duplex, reason: CloseReason): void {
    this.note(reason);
    socket.destroy();
  }

  isReserved(socket: Duplex): boolean {
    return this.#places.get(socket)?.isReserved ?? false;
  }

  /** Answers on the connection that are not over. */
  numOpen(socket: Duplex): number {
    return this.#places.get(socket)?.answers.size ?? 0;
  }

  /** Whether bytes of an answer that is not over are on the connection. */
  isAnswering(socket: Duplex): boolean {
    return [...(this.#places.get(socket)?.answers ?? [])].some(({ headersSent }) => headersSent);
  }

  /** Runs `act` when every answer before it is out: what is not HTTP any more may not overtake them. */
  whenAnswered(socket: Duplex, act: () => void): void {
    const place = this.#places.get(socket);
    const [first] = place?.answers ?? [];
    if (socket.destroyed) return;
    if (place === undefined || first === undefined) {
      if (place) this.#takeOut(socket, place);
      act();
      return;
    }
    // Node has let go of the socket and tells its answers nothing of it any more.
    const onDrain = () => first.emit("drain");
    socket.on("drain", onDrain);
    first.once("close", () => {
      socket.off("drain", onDrain);
      this.whenAnswered(socket, act);
    });
  }

  /** It speaks HTTP after all. */
  putBack(socket: Duplex): void {
    const place = this.#places.get(socket);
    if (place) place.isUpgraded = false;
  }

  /**
   * Counts an open request of a key; call what it returns at its end.
   * @throws ShouldersError `rate_limited`
   */
  enterOwner(owner: string): () => void {
    const most = Math.max(1, Math.floor(this.#numRegular / 4));
    const numOpen = this.#ownerToOpen.get(owner) ?? 0;
    if (numOpen >= most)
      throw new ShouldersError("rate_limited", `${numOpen} requests of this key are open: wait for some.`);
    this.#ownerToOpen.set(owner, numOpen + 1);
    return () => {
      const rest = (this.#ownerToOpen.get(owner) ?? 1) - 1;
      if (rest > 0) this.#ownerToOpen.set(owner, rest);
      else this.#ownerToOpen.delete(owner);
    };
  }

  /** The end of the server. */
  destroyAll(): void {
    for (const socket of this.#places.keys()) socket.destroy();
    if (this.#tellTimer !== null) clearInterval(this.#tellTimer);
  }

  get #numRegular(): number {
    return Math.max(1, this.#limits.connections - this.#numReserved);
  }

  #enter(socket: Socket): void {
    // Put back into HTTP: it has its place.
    if (this.#places.has(socket)) return;
    const address = networkOf(socket.remoteAddress ?? "");
    const own = this.#addresses.get(address) ?? { numConnections: 0, waiting: new Waiting() };
    this.#addresses.set(address, own);
    const isReserved = !this.#makeRoom(own);
    if (isReserved && this.#reserved.size >= this.#numReserved) {
      const [longest] = this.#reserved;
      if (longest) this.#leave(longest, "full");
    }
    const place = { address, isReserved, answers: new Set<ServerResponse>(), isUpgraded: false };
    this.#places.set(socket, place);
    if (isReserved) this.#reserved.add(socket);
    else {
      own.numConnections++;
      own.waiting.silent.add(socket);
      this.#waiting.silent.add(socket);
    }
    socket.once("close", () => this.#forget(socket));
  }

  /** @returns whether there is a place beside the reserve */
  #makeRoom({ numConnections, waiting }: Address): boolean {
    const isFull = this.#places.size - this.#reserved.size >= this.#numRegular;
    const hasShare = numConnections >= Math.ceil(this.#numRegular / 2);
    if (!isFull && !hasShare) return true;
    const longest = (hasShare ? waiting : this.#waiting).longest();
    if (longest === null) return false;
    this.#leave(...longest);
    return true;
  }

  /** Its place is free at once, whenever the system has closed it. */
  #leave(socket: Duplex, reason: CloseReason): void {
    this.#forget(socket);
    this.destroy(socket, reason);
  }

  #forget(socket: Duplex): void {
    const place = this.#places.get(socket);
    if (place === undefined) return;
    this.#places.delete(socket);
    if (this.#reserved.delete(socket)) return;
    this.#waiting.delete(socket);
    const own = this.#addresses.get(place.address);
    own?.waiting.delete(socket);
    if (own && --own.numConnections === 0) this.#addresses.delete(place.address);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const place = this.#places.get(socket);
    if (place === undefined) return;
    place.answers.add(response);
    this.#waiting.delete(socket);
    this.#addresses.get(place.address)?.waiting.delete(socket);
    if (place.isReserved) response.setHeader("Connection", "close");
    response.once("finish", () => this.#checkRest(request));
    response.once("close", () => {
      place.answers.delete(response);
      if (place.answers.size === 0 && !place.isUpgraded && !socket.destroyed) this.#wait(socket, place);
    });
  }

  #wait(socket: Duplex, place: Place): void {
    if (place.isReserved || this.#places.get(socket) !== place) return;
    this.#waiting.idle.add(socket);
    this.#addresses.get(place.address)?.waiting.idle.add(socket);
  }

  #takeOut(socket: Duplex, place: Place): void {
    place.isUpgraded = true;
    this.#waiting.delete(socket);
    this.#addresses.get(place.address)?.waiting.delete(socket);
  }

  /** Answered before all of the request was there: refused. The rest is waited for no longer than a moment. */
  #checkRest(request: IncomingMessage): void {
    if (request.complete) return;
    const timer = setTimeout(() => {
      if (!request.complete) this.destroy(request.socket, "refused");
    }, this.#limits.lingerMs);
    request.socket.once("close", () => clearTimeout(timer));
    request.once("end", () => clearTimeout(timer));
  }

  #tell(): void {
    const reasons = this.#untold;
    this.#untold = {};
    if (Object.keys(reasons).length > 0) {
      this.#log.warn({ ...reasons, open: this.size }, "connections ended or refused");
      return;
    }
    if (this.#tellTimer !== null) clearInterval(this.#tellTimer);
    this.#tellTimer = null;
  }
}
