import type { Response } from "express";
import type { Turns } from "./access/turns.js";

const headers = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache",
  "X-Accel-Buffering": "no",
};

/**
 * Server-sent events on a response. Headers go out with the first event (or the first comment of a long
 * silence), so that what fails before it still has a status of its own.
 */
export class SseWriter {
  readonly #response: Response;
  readonly #drainTimeoutMs: number;
  readonly #keepAlive: NodeJS.Timeout;

  constructor(response: Response, limits: { keepAliveMs: number; drainTimeoutMs: number }) {
    this.#response = response;
    this.#drainTimeoutMs = limits.drainTimeoutMs;
    this.#keepAlive = setInterval(() => this.#comment(), limits.keepAliveMs);
  }

  /**
   * Resolves when the reader keeps up, or has left.
   * @param data JSON as text goes out as it is
   * @param name of the event, for readers that go by it
   */
  async send(data: object | string, name: string | null = null): Promise<void> {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return;
    this.#open();
    this.#keepAlive.refresh();
    const text = typeof data === "string" ? data : JSON.stringify(data);
    const line = name === null ? "" : `event: ${name}\n`;
    if (!response.write(`${line}data: ${text}\n\n`)) await drained(response, this.#drainTimeoutMs);
  }

  /** Ends the response, if it has begun. Call it on every path. */
  close(): void {
    clearInterval(this.#keepAlive);
    if (this.#response.headersSent) this.#response.end();
  }

  #open(): void {
    openEvents(this.#response);
  }

  #comment(): void {
    if (this.#response.destroyed || this.#response.writableNeedDrain) return;
    this.#open();
    this.#response.write(": keep-alive\n\n");
  }
}

/** Begins a stream of events, if it has not begun. */
export function openEvents(response: Response): void {
  if (!response.headersSent) response.status(200).set(headers);
}

/** Resolves when the reader has taken what was written, or has left; one who takes nothing for so long is dropped. */
async function drained(response: Response, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const patience = setTimeout(() => response.destroy(), timeoutMs);
    const settle = () => {
      clearTimeout(patience);
      response.off("drain", settle).off("close", settle);
      resolve();
    };
    response.on("drain", settle).on("close", settle);
  });
}

/**
 * Writes a body piece by piece, as the reader takes it; each piece is made and written in its turn. Resolves when all is
 * written or the reader has left, and rejects with what making a piece throws.
 */
export async function writePieces(
  response: Response,
  pieces: Iterator<string, void>,
  { turns, party, drainTimeoutMs }: { turns: Turns; party: string; drainTimeoutMs: number },
): Promise<void> {
  /** Whether there may be more. Waits from within the turn: a reader may take all before the next. */
  const write = async (): Promise<boolean> => {
    const { done, value } = pieces.next();
    if (done) response.end();
    if (done || response.destroyed) return false;
    if (value !== "" && !response.write(value)) await drained(response, drainTimeoutMs);
    return true;
  };
  while (await turns.run(party, write));
}

/** Aborted when the client has left, or the response is complete, or with the reason of `cut`. */
export function closedSignal(response: Response, cut: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const onCut = () => controller.abort(cut.reason);
  const onClose = () => {
    // By hand: Node 20 forgets a removal by `{ signal }`, and `cut` would hold every request there ever was.
    cut.removeEventListener("abort", onCut);
    controller.abort();
  };
  cut.addEventListener("abort", onCut);
  response.once("close", onClose);
  if (response.destroyed) onClose();
  return controller.signal;
}
