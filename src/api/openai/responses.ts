import type { RequestHandler, Response } from "express";
import type { EngineDescription, GenerationEvent } from "../../protocol/protocol.js";
import { ShouldersError } from "../../errors.js";
import { requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { outcomeOf } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import { parseRequest } from "../parse.js";
import { runCompletion } from "../completion/run-completion.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { planCompletion, type CompletionPlan } from "../completion/plan.js";
import { responsesSchema, type ResponsesBody } from "./responses-schema.js";
import { ResponseWriter, type ResponseEvent } from "./responses-shapes.js";

type Events = AsyncIterable<GenerationEvent>;

/** `POST /v1/responses`: a chat completion in OpenAI's newer shape. */
export function responsesHandler(context: ApiContext): RequestHandler {
  return async (request, response) => {
    const body = parseRequest(responsesSchema, request.body);
    const plan = planResponse(body, requireEngine(context));
    const locals = localsOf(response);
    locals.model = plan.model;
    plan.request.owner = locals.owner;
    plan.request.party = locals.party;
    const events = runCompletion(context, plan, closedSignal(response, context.cut));
    const writer = new ResponseWriter(body, plan);
    if (body.stream === true) await stream(context, response, events, writer);
    else await answer(response, events, writer);
  };
}

/** @throws ShouldersError that names the field at fault, as it is called here. */
function planResponse(body: ResponsesBody, description: EngineDescription): CompletionPlan {
  const hasLogprobs = (body.include?.length ?? 0) > 0;
  if (body.top_logprobs != null && body.top_logprobs > 0 && !hasLogprobs)
    throw new ShouldersError(
      "invalid_request",
      "Invalid 'top_logprobs': needs include: [\"message.output_text.logprobs\"].",
      { param: "top_logprobs" },
    );
  const chat = {
    model: body.model,
    messages: toMessages(body),
    max_completion_tokens: body.max_output_tokens,
    temperature: body.temperature,
    top_p: body.top_p,
    logprobs: hasLogprobs,
    top_logprobs: hasLogprobs ? body.top_logprobs : null,
    response_format: toResponseFormat(body.text?.format),
    fusion: body.fusion,
  };
  const plan = inOwnWords(() => planCompletion("chat", chat, description));
  const requestId = plan.request.requestId.replace(/^\w+-/, "resp_");
  return { ...plan, grammarParam: "text.format", request: { ...plan.request, requestId } };
}

function toResponseFormat(format: NonNullable<ResponsesBody["text"]>["format"]): object | null {
  if (format?.type !== "json_schema") return format ?? null;
  const { type, ...schema } = format;
  return { type, json_schema: schema };
}

/** A chat completion's field by the name that it has here. */
function inOwnWords<Result>(plan: () => Result): Result {
  try {
    return plan();
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (!error.param?.startsWith("response_format")) throw thrown;
    const rename = (text: string) => text.replace(/response_format(?:\.json_schema)?/, "text.format");
    throw new ShouldersError(error.code, rename(error.message), { param: rename(error.param) });
  }
}

function toMessages({ instructions, input }: ResponsesBody): object[] {
  const system = instructions == null ? [] : [{ role: "system", content: instructions }];
  if (typeof input === "string") return [...system, { role: "user", content: input }];
  const messages = input.map(({ role, content }) => ({
    role,
    content:
      typeof content === "string"
        ? content
        : content.map((part) => ("text" in part ? { type: "text", text: part.text } : part)),
  }));
  return [...system, ...messages];
}

async function answer(response: Response, events: Events, writer: ResponseWriter): Promise<void> {
  for await (const event of events) {
    if (event.type === "accepted") continue;
    writer.delta(event.type === "delta" ? event.text : "", event.tokens);
    if (event.type === "done") response.json(writer.whole(event.finishReason, event.usage));
  }
}

/** Nothing is sent before the first token: whatever fails until then has a real status. */
async function stream(
  context: ApiContext,
  response: Response,
  events: Events,
  writer: ResponseWriter,
): Promise<void> {
  const sse = new SseWriter(response, context.limits);
  const send = async (...sent: (ResponseEvent | null)[]) => {
    for (const event of sent) if (event !== null) await sse.send(event, event.type);
  };
  try {
    for await (const event of events) {
      if (event.type === "accepted") continue;
      await send(...writer.opening());
      await send(writer.delta(event.type === "delta" ? event.text : "", event.tokens));
      if (event.type === "done") await send(...writer.ending(event.finishReason, event.usage));
    }
  } catch (thrown) {
    if (!response.headersSent) throw thrown;
    const error = ShouldersError.from(thrown);
    const locals = localsOf(response);
    locals.outcome = outcomeOf(error.status);
    locals.error = error;
    await send(...writer.opening());
    await send(writer.failed(toOpenAiError(error).body.error));
  } finally {
    sse.close();
  }
}
