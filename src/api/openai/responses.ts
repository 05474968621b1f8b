import type { RequestHandler } from "express";
import { fieldError } from "../../errors.js";
import type { ResponseBody } from "../../wire/response.js";
import type { ResponseItem } from "../../wire/response-item.js";
import { planOptions } from "../completion/answering.js";
import { planCompletion, traceId, type PlanOptions, type RequestPlan } from "../completion/plan.js";
import { serveAnswer } from "../completion/serve-answer.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { readFields } from "./read-body.js";
import { sentItems, toTurns, type SentItem, type Turns } from "./responses-input.js";
import { functionsOf, responsesSchema, toolNamesOf, type ResponsesBody } from "./responses-schema.js";
import { ResponseWriter } from "./responses-shapes.js";

/** `POST /v1/responses`: a chat completion in OpenAI's newer shape. */
export function responsesHandler(context: ApiContext): RequestHandler<object, ResponseBody> {
  return async (request, response) => {
    const { body, ignored } = readFields(responsesSchema, request.body);
    const { owner } = localsOf(response);
    const items = await conversationOf(body, context, owner);
    const turns = toTurns(body.instructions, items);
    const plan = planResponse(body, turns, planOptions(context, response));
    plan.ignored.unshift(...ignored, ...annotations(body));
    const isKept = context.responses.isEnabled && body.store !== false;
    const keep = (whole: ResponseBody) => {
      if (isKept)
        context.responses.keep(
          owner,
          whole,
          items.map(({ item }) => item),
        );
    };
    await serveAnswer({ context, response, plan }, new ResponseWriter({ body, plan, isKept, keep }));
  };
}

/** All items up to the answer: those of the response before it, and those that were sent. */
async function conversationOf(
  body: ResponsesBody,
  { responses }: ApiContext,
  owner: string,
): Promise<SentItem[]> {
  const sent = await sentItems(body, (id) => responses.item(id, owner));
  const { previous_response_id: previous } = body;
  if (previous == null) return sent;
  const kept = await responses.get(previous, owner);
  if (kept === null)
    throw fieldError("previous_response_id", "no response of this id is kept; send the whole conversation");
  const before: ResponseItem[] = [...kept.input, ...kept.response.output];
  return [...before.map((item) => ({ item, name: "previous_response_id" })), ...sent];
}

/** @throws ShouldersError that names the field at fault, as it is called here. */
function planResponse(body: ResponsesBody, turns: Turns, options: PlanOptions): RequestPlan {
  const hasLogprobs = body.include?.includes("message.output_text.logprobs") ?? false;
  if (body.top_logprobs != null && body.top_logprobs > 0 && !hasLogprobs)
    throw fieldError("top_logprobs", 'needs include: ["message.output_text.logprobs"]');
  const chat = {
    model: body.model,
    messages: turns.messages,
    max_completion_tokens: body.max_output_tokens,
    temperature: body.temperature,
    top_p: body.top_p,
    logprobs: hasLogprobs,
    top_logprobs: hasLogprobs ? body.top_logprobs : null,
    response_format: toResponseFormat(body.text?.format),
    tools: functionsOf(body).map(({ type, ...tool }) => ({ type, function: tool })),
    tool_choice: toToolChoice(body.tool_choice),
    parallel_tool_calls: body.parallel_tool_calls,
    reasoning_effort: body.reasoning?.effort,
    verbosity: body.text?.verbosity,
    service_tier: body.service_tier,
    stream: body.stream,
    fusion: body.fusion,
  };
  const { functions } = toolNamesOf(body);
  const nameOf = (param: string) => fieldName(param, turns.names, functions);
  const plan = planCompletion("chat", chat, { ...options, fieldName: nameOf });
  return { ...plan, id: traceId("resp_", options) };
}

/** What is known, and asks for what is not done. */
function annotations(body: ResponsesBody): string[] {
  const { truncation, context_management: management } = body;
  return [
    ...toolNamesOf(body).others,
    ...(truncation === "auto" ? ["truncation"] : []),
    ...(management == null ? [] : ["context_management"]),
  ];
}

function toResponseFormat(format: NonNullable<ResponsesBody["text"]>["format"]): object | null {
  if (format?.type !== "json_schema") return format ?? null;
  const { type, ...schema } = format;
  return { type, json_schema: schema };
}

function toToolChoice(choice: ResponsesBody["tool_choice"]): unknown {
  if (choice == null || typeof choice === "string") return choice;
  const toFunction = ({ type, name }: { type: "function"; name: string }) => ({ type, function: { name } });
  if (choice.type === "function") return toFunction(choice);
  const { type, mode, tools } = choice;
  return { type, allowed_tools: { mode, tools: tools.map(toFunction) } };
}

/** Fields of a chat completion that are called otherwise here, the longest first. */
const renamed: readonly (readonly [chat: string, here: string])[] = [
  ["response_format.json_schema", "text.format"],
  ["response_format", "text.format"],
  ["max_completion_tokens", "max_output_tokens"],
  ["reasoning_effort", "reasoning.effort"],
  ["verbosity", "text.verbosity"],
  ["messages", "input"],
];

/** A chat completion's field by the name that it has here. */
function fieldName(param: string, messages: readonly string[], functions: readonly string[]): string {
  const [first, index, ...rest] = param.split(".");
  const name = first === "messages" ? messages[Number(index)] : undefined;
  // What came before has no fields here.
  if (name !== undefined) return name.startsWith("input.") ? [name, ...rest].join(".") : name;
  const tool = first === "tools" ? functions[Number(index)] : undefined;
  if (tool !== undefined) return [tool, ...rest.filter((part) => part !== "function")].join(".");
  const found = renamed.find(([chat]) => param === chat || param.startsWith(`${chat}.`));
  return found === undefined ? param : found[1] + param.slice(found[0].length);
}
