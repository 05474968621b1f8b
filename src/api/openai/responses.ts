import type { RequestHandler, Response } from "express";
import { fieldError } from "../../errors.js";
import type { Conversation } from "../../wire/conversation.js";
import type { InputTokens, ResponseBody } from "../../wire/response.js";
import { isUnfinished } from "./response-store.js";
import type { ResponseItem } from "../../wire/response-item.js";
import { nameAnswer, planAnswer, planOptions } from "../completion/answering.js";
import { planCompletion, traceId, type PlanOptions, type RequestPlan } from "../completion/plan.js";
import { heldEvents, serveAnswer } from "../completion/serve-answer.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { countPrompt } from "../vocabulary.js";
import { sendEvents } from "./kept-responses.js";
import { readFields } from "./read-body.js";
import { sentItems, toTurns, type SentItem, type Turns } from "./responses-input.js";
import { chatFields, responsesSchema, toolNamesOf, toolsOf, type ResponsesBody } from "./responses-schema.js";
import { ResponseWriter } from "./responses-shapes.js";

/** `POST /v1/responses`: a chat completion in OpenAI's newer shape. */
export function responsesHandler(context: ApiContext): RequestHandler<object, ResponseBody> {
  return async (request, response) => {
    const { body, ignored } = readFields(responsesSchema, request.body);
    const { owner } = localsOf(response);
    const { before, sent, conversation } = await itemsOf(body, context, owner);
    const items = [...before, ...sent];
    const turns = toTurns(body.instructions, items);
    const plan = await planAnswer(context, response, (options) => planResponse(body, turns, options));
    plan.ignored.unshift(...ignored, ...annotations(body));
    const isKept = context.responses.isEnabled && body.store !== false;
    const input = items.map(({ item }) => item);
    const add = async (whole: ResponseBody) => {
      const isAnswer = whole.status === "completed" || whole.status === "incomplete";
      if (conversation === null || !isAnswer) return;
      const added = [...sent.map(({ item }) => item), ...whole.output];
      // Where it fails the journal says so, and the next request that nothing can be kept.
      await context.conversations.write(owner, conversation, added).catch(() => undefined);
    };
    if (body.background === true) {
      if (!isKept) throw fieldError("background", "it needs store, and a server that keeps responses");
      await runInBackground({ context, response, plan }, body, { input, add });
      return;
    }
    const keep = (whole: ResponseBody) => {
      void add(whole);
      if (isKept) context.responses.keep(owner, { response: whole, input });
    };
    await serveAnswer({ context, response, plan }, new ResponseWriter({ body, plan, isKept, keep }));
  };
}

/** `POST /v1/responses/input_tokens`: of the prompt as the base gets it. */
export function countInputTokens(context: ApiContext): RequestHandler<object, InputTokens> {
  return async (request, response) => {
    const { body } = readFields(responsesSchema, request.body);
    const { before, sent } = await itemsOf(body, context, localsOf(response).owner);
    const turns = toTurns(body.instructions, [...before, ...sent]);
    const plan = planResponse(body, turns, planOptions(context, response));
    const count = await countPrompt(context, response, plan);
    if (count !== null) response.json({ object: "response.input_tokens", input_tokens: count });
  };
}

/** Answers what there is when the engine has taken it; a stream may be left, and followed again. */
async function runInBackground(
  { context, response, plan }: { context: ApiContext; response: Response<ResponseBody>; plan: RequestPlan },
  body: ResponsesBody,
  { input, add }: { input: ResponseItem[]; add: (whole: ResponseBody) => Promise<void> },
): Promise<void> {
  const { owner } = localsOf(response);
  nameAnswer(response, plan);
  // They do not count among the key's requests, or it could not ask for them.
  context.background.admit(owner, context.gate.limiter.mostRunning);
  const letGo = context.models.tryHold(plan.model);
  const writer = new ResponseWriter({ body, plan, isKept: true, keep: () => undefined });
  const run = await context.background.start({
    ...{ owner, id: plan.id, writer, input, isStream: plan.isStream },
    generate: (signal) => heldEvents(context, plan, AbortSignal.any([signal, context.cut])),
    keep: (kept) => {
      void add(kept.response);
      context.responses.keep(owner, kept);
    },
    release: () => letGo?.(),
  });
  if (plan.isStream) await sendEvents(context, response, (closed) => run.follow(closed));
  else response.json(run.kept.response);
}

interface Items {
  /** Those of the response or the conversation before it. */
  before: SentItem[];
  sent: SentItem[];
  /** What they and the answer are added to; null: nothing. */
  conversation: Conversation | null;
}

/** All items up to the answer. */
async function itemsOf(body: ResponsesBody, context: ApiContext, owner: string): Promise<Items> {
  const { responses, conversations } = context;
  const { previous_response_id: previous, conversation: asked } = body;
  const sent = await sentItems(body, (id) => responses.item(id, owner));
  if (asked != null) {
    if (previous != null) throw fieldError("previous_response_id", "leave it out, or conversation");
    const conversation = await conversations.get(owner, typeof asked === "string" ? asked : asked.id);
    if (conversation === null) throw fieldError("conversation", "no conversation of this id is kept");
    const items = await conversations.itemsBefore(owner, conversation.id);
    return { before: items.map((item) => ({ item, name: "conversation" })), sent, conversation };
  }
  if (previous == null) return { before: [], sent, conversation: null };
  const kept = await responses.get(previous, owner);
  if (kept === null)
    throw fieldError("previous_response_id", "no response of this id is kept; send the whole conversation");
  if (isUnfinished(kept.response))
    throw fieldError("previous_response_id", "this response is not over; wait until it is");
  const items: ResponseItem[] = [...kept.input, ...kept.response.output];
  return { before: items.map((item) => ({ item, name: "previous_response_id" })), sent, conversation: null };
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
    ...Object.fromEntries(
      Object.keys(chatFields).map((field) => [field, body[field as keyof typeof chatFields]]),
    ),
    logprobs: hasLogprobs,
    top_logprobs: hasLogprobs ? body.top_logprobs : null,
    response_format: toResponseFormat(body.text?.format),
    tools: toolsOf(body).map(toTool),
    tool_choice: toToolChoice(body.tool_choice),
    parallel_tool_calls: body.parallel_tool_calls,
    reasoning_effort: body.reasoning?.effort,
    verbosity: body.text?.verbosity,
    service_tier: body.service_tier,
    stream: body.stream,
    fusion: body.fusion,
  };
  const { known } = toolNamesOf(body);
  const nameOf = (param: string) => fieldName(param, turns.names, known);
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
  const toNamed = ({ type, name }: { type: "function" | "custom"; name: string }) => ({
    type,
    [type]: { name },
  });
  if (choice.type !== "allowed_tools") return toNamed(choice);
  const { type, mode, tools } = choice;
  return { type, allowed_tools: { mode, tools: tools.map(toNamed) } };
}

function toTool(tool: ReturnType<typeof toolsOf>[number]): object {
  if (tool.type === "function") {
    const { type, ...own } = tool;
    return { type, function: own };
  }
  const { type, format, ...own } = tool;
  if (format?.type !== "grammar") return { type, custom: { ...own, format } };
  const { type: kind, ...grammar } = format;
  return { type, custom: { ...own, format: { type: kind, grammar } } };
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
function fieldName(param: string, messages: readonly string[], tools: readonly string[]): string {
  const [first, index, ...rest] = param.split(".");
  const name = first === "messages" ? messages[Number(index)] : undefined;
  // What came before has no fields here.
  if (name !== undefined) return name.startsWith("input.") ? [name, ...rest].join(".") : name;
  const tool = first === "tools" ? tools[Number(index)] : undefined;
  const inner = ["function", "custom", "grammar"];
  if (tool !== undefined) return [tool, ...rest.filter((part) => !inner.includes(part))].join(".");
  const found = renamed.find(([chat]) => param === chat || param.startsWith(`${chat}.`));
  return found === undefined ? param : found[1] + param.slice(found[0].length);
}
