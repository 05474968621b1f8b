import { once } from "node:events";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import type { ServerFrame } from "../../src/api/websocket/frames.js";

type FrameOf<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;

/** A client of the WebSocket that keeps every frame in order. */
export class TestSocket {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  readonly #closed: Promise<number>;

  constructor(url: string, options: { origin?: string; path?: string } = {}) {
    const address = url.replace("http", "ws") + (options.path ?? "/v1/stream");
    this.socket = new WebSocket(address, { ...(options.origin !== undefined && { origin: options.origin }) });
    this.socket.on("message", (data) =>
      this.frames.push(JSON.parse((data as Buffer).toString()) as ServerFrame),
    );
    this.#closed = once(this.socket, "close").then(([code]) => code as number);
    this.#closed.catch(() => undefined);
    this.socket.on("error", () => undefined);
    onTestFinished(() => this.socket.terminate());
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Resolves with the code of the connection's end. */
  closed(): Promise<number> {
    return this.#closed;
  }

  /** Resolves with the first such frame, which may be there already. */
  async until<Type extends ServerFrame["type"]>(
    type: Type,
    isMeant: (frame: FrameOf<Type>) => boolean = () => true,
  ): Promise<FrameOf<Type>> {
    for (;;) {
      const found = this.of(type).find(isMeant);
      if (found !== undefined) return found;
      await once(this.socket, "message");
    }
  }

  of<Type extends ServerFrame["type"]>(type: Type): FrameOf<Type>[] {
    return this.frames.filter((frame): frame is FrameOf<Type> => frame.type === type);
  }
}

/** Connected, and greeted. */
export async function connect(url: string): Promise<TestSocket> {
  const socket = new TestSocket(url);
  await socket.until("session.created");
  return socket;
}
