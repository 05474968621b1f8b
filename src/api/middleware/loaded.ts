import type { RequestHandler, Response } from "express";
import type { ApiContext } from "../context.js";
import { closedSignal, openEvents } from "../sse-writer.js";

/**
 * Holds the model that a request asks for until its answer is out. One that is not loaded is waited for; a stream shows
 * that it lives, and how far the load is, in comments.
 */
export function untilLoaded(context: ApiContext, streams: boolean): RequestHandler {
  const { models } = context;
  return (request, response, next) => {
    const { model, stream } = (request.body ?? {}) as { model?: unknown; stream?: unknown };
    if (typeof model !== "string" || !models.has(model)) {
      next();
      return;
    }
    const held = models.tryHold(model);
    if (held !== null) {
      releaseAtEnd(response, held);
      next();
      return;
    }
    wait(context, response, { model, isStream: streams && stream === true }).then(() => next(), next);
  };
}

async function wait(
  { models, limits, cut }: ApiContext,
  response: Response,
  { model, isStream }: { model: string; isStream: boolean },
): Promise<void> {
  let fraction = 0;
  const comment = () => {
    if (response.destroyed || response.writableNeedDrain) return;
    openEvents(response);
    response.write(`: loading ${(100 * fraction).toFixed(0)} %\n\n`);
  };
  const timer = isStream ? setInterval(comment, limits.loadProgressMs) : null;
  try {
    const release = await models.hold(model, {
      signal: closedSignal(response, cut),
      onProgress: (now) => (fraction = now),
    });
    releaseAtEnd(response, release);
  } finally {
    if (timer !== null) clearInterval(timer);
  }
}

function releaseAtEnd(response: Response, release: () => void): void {
  if (response.destroyed) release();
  else response.once("close", release);
}
