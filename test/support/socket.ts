import { once } from "node:events";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { checkFrame } from "./check-answers.js";
import type { ServerFrame } from "../../src/wire/frames.js";

type FrameOf<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;

interface SocketOptions {
  origin?: string;
  path?: string;
  headers?: Record<string, string>;
}

/** A client of the WebSocket that keeps every frame in order. */
export class TestSocket {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  readonly #closed: Promise<number>;

  constructor(url: string, options: SocketOptions = {}) {
    const address = url.replace("http", "ws") + (options.path ?? "/v1/stream");
    const { origin, headers } = options;
    this.socket = new WebSocket(address, {
      ...(origin !== undefined && { origin }),
      ...(headers && { headers }),
    });
    this.socket.on("message", (data) => {
      const frame = JSON.parse((data as Buffer).toString()) as ServerFrame;
      checkFrame(frame);
      this.frames.push(frame);
    });
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
export async function connect(url: string, options: SocketOptions = {}): Promise<TestSocket> {
  const socket = new TestSocket(url, options);
  await socket.until("session.created");
  return socket;
}
