import type { RequestHandler, Response } from "express";
import type { GenerationEvent } from "../../protocol/protocol.js";
import { fieldError, ShouldersError } from "../../errors.js";
import { nameAnswer, planOptions } from "../completion/answering.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { outcomeOf } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import { parseRequest } from "../parse.js";
import { runCompletion } from "../completion/run-completion.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import {
  choicesOf,
  newId,
  planCompletion,
  type ChoicePlan,
  type PlanOptions,
  type RequestPlan,
} from "../completion/plan.js";
import { responsesSchema, type ResponsesBody } from "./responses-schema.js";
import type { ResponseBody, ResponseEvent } from "../../wire/response.js";
import { ResponseWriter } from "./responses-shapes.js";

type Events = AsyncIterable<GenerationEvent>;

/** `POST /v1/responses`: a chat completion in OpenAI's newer shape. */
export function responsesHandler(context: ApiContext): RequestHandler<object, ResponseBody> {
  return async (request, response) => {
    const body = parseRequest(responsesSchema, request.body);
    const plan = planResponse(body, planOptions(context, response));
    nameAnswer(response, plan);
    const [only] = choicesOf(plan) as [ChoicePlan];
    const events = runCompletion(context, only, closedSignal(response, context.cut));
    const writer = new ResponseWriter(body, plan);
    if (body.stream === true) await stream(context, response, events, writer);
    else await answer(response, events, writer);
  };
}

/** @throws ShouldersError that names the field at fault, as it is called here. */
function planResponse(body: ResponsesBody, options: PlanOptions): RequestPlan {
  const hasLogprobs = (body.include?.length ?? 0) > 0;
  if (body.top_logprobs != null && body.top_logprobs > 0 && !hasLogprobs)
    throw fieldError("top_logprobs", 'needs include: ["message.output_text.logprobs"]');
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
  const plan = planCompletion("chat", chat, { ...options, fieldName: (param) => fieldName(param, body) });
  return { ...plan, id: newId("resp_") };
}

function toResponseFormat(format: NonNullable<ResponsesBody["text"]>["format"]): object | null {
  if (format?.type !== "json_schema") return format ?? null;
  const { type, ...schema } = format;
  return { type, json_schema: schema };
}

/** Fields of a chat completion that are called otherwise here, the longest first. */
const renamed: readonly (readonly [chat: string, here: string])[] = [
  ["response_format.json_schema", "text.format"],
  ["response_format", "text.format"],
  ["max_completion_tokens", "max_output_tokens"],
  ["messages", "input"],
];

/** A chat completion's field by the name that it has here. */
function fieldName(param: string, { instructions }: ResponsesBody): string {
  const [first, index, ...rest] = param.split(".");
  if (first === "messages" && index !== undefined && instructions != null)
    return Number(index) === 0 ? "instructions" : ["input", Number(index) - 1, ...rest].join(".");
  const found = renamed.find(([chat]) => param === chat || param.startsWith(`${chat}.`));
  return found === undefined ? param : found[1] + param.slice(found[0].length);
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

async function answer(
  response: Response<ResponseBody>,
  events: Events,
  writer: ResponseWriter,
): Promise<void> {
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
