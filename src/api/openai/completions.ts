import type { RequestHandler, Response } from "express";
import type { GeneratedToken, GenerationEvent } from "../../engine/protocol.js";
import { ShouldersError } from "../../errors.js";
import { requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { outcomeOf } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import { runCompletion } from "../run-completion.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { planCompletion, type CompletionKind } from "./plan.js";
import { CompletionWriter } from "./shapes.js";

type Events = AsyncIterable<GenerationEvent>;

/** `POST /v1/chat/completions` and `POST /v1/completions`. */
export function completionHandler(context: ApiContext, kind: CompletionKind): RequestHandler {
  return async (request, response) => {
    const plan = planCompletion(kind, request.body, requireEngine(context));
    const locals = localsOf(response);
    locals.model = plan.model;
    plan.request.owner = locals.owner;
    const events = runCompletion(context, plan, closedSignal(response, context.cut));
    const writer = new CompletionWriter(plan);
    if (plan.isStream) await stream(context, response, events, writer);
    else await answer(response, events, writer);
  };
}

async function answer(response: Response, events: Events, writer: CompletionWriter): Promise<void> {
  let text = "";
  const tokens: GeneratedToken[] = [];
  for await (const event of events) {
    if (event.type === "delta") {
      text += event.text;
      tokens.push(...event.tokens);
    } else if (event.type === "done") response.json(writer.whole(text, tokens, event.tokens, event));
  }
}

/** Nothing is sent before the first token: whatever fails until then has a real status. */
async function stream(
  context: ApiContext,
  response: Response,
  events: Events,
  writer: CompletionWriter,
): Promise<void> {
  const sse = new SseWriter(response, context.limits);
  let opening = writer.opening();
  const send = async (...chunks: (object | null)[]) => {
    for (const chunk of [opening, ...chunks]) if (chunk !== null) await sse.send(chunk);
    opening = null;
  };
  try {
    for await (const event of events) {
      if (event.type === "delta") await send(writer.delta(event.text, event.tokens));
      else if (event.type === "done") {
        await send(writer.ending(event.finishReason, event.tokens), writer.usage(event.usage));
        await sse.send("[DONE]");
      }
    }
  } catch (thrown) {
    if (!response.headersSent) throw thrown;
    const error = ShouldersError.from(thrown);
    const locals = localsOf(response);
    locals.outcome = outcomeOf(error.status);
    locals.error = error;
    await sse.send(toOpenAiError(error).body);
  } finally {
    sse.close();
  }
}
