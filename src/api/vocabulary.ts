import type { RequestHandler, Response } from "express";
import { z } from "zod";
import type { EngineQuery, Prompt, QueryResults } from "../protocol/protocol.js";
import { fieldError, ShouldersError } from "../errors.js";
import type { Detokenized, Piece, Templated, Tokenized, TokenizerInfo } from "../wire/service.js";
import { findConfig, requireEngine, type ApiContext } from "./context.js";
import { tokenIds } from "./long-list.js";
import { localsOf } from "./middleware/locals.js";
import { planOptions } from "./completion/answering.js";
import { planCompletion, type RequestPlan } from "./completion/plan.js";
import { chatSchema } from "./openai/schemas.js";
import { parseRequest } from "./parse.js";
import { closedSignal } from "./sse-writer.js";

/**
 * llama-server's routes for a vocabulary and a template, and what vLLM's have beyond them. Those have one model, so
 * `model` may be left out.
 */

const model = z.string().min(1).nullish().describe("Id of a fusion config. Default: the first.");

/** More would hold up the server while it writes the answer. */
const longest = 262_144;

export const tokenizeSchema = z
  .strictObject({
    model,
    content: z.string().max(longest).optional().describe("The text."),
    prompt: z.string().max(longest).optional().describe("The same, as vLLM calls it."),
    add_special: z
      .boolean()
      .nullish()
      .describe("Begin as a prompt does (BOS). Default: false, and true where the text is called prompt."),
    add_special_tokens: z.boolean().nullish().describe("The same, as vLLM calls it."),
    parse_special: z.boolean().nullish().describe("Read control tokens that are written out. Default: true."),
    with_pieces: z.boolean().nullish().describe("Answer each token's text with its id. Default: false."),
  })
  .refine(({ content, prompt }) => content !== undefined || prompt !== undefined, {
    path: ["content"],
    error: "missing: expected the text",
  });

export const tokenizerQuerySchema = z.strictObject({ model });

export const detokenizeSchema = z.strictObject({
  model,
  tokens: tokenIds({ least: 0, most: longest }).describe("Token ids."),
});

export const applyTemplateSchema = z.strictObject({
  model,
  messages: chatSchema.shape.messages,
  tools: chatSchema.shape.tools,
  tool_choice: chatSchema.shape.tool_choice,
  reasoning_effort: chatSchema.shape.reasoning_effort,
  enable_thinking: chatSchema.shape.enable_thinking,
  chat_template: chatSchema.shape.chat_template,
  chat_template_kwargs: chatSchema.shape.chat_template_kwargs,
  add_generation_prompt: chatSchema.shape.add_generation_prompt,
  continue_final_message: chatSchema.shape.continue_final_message,
});

/** `POST /tokenize`, of the base's vocabulary. */
export function tokenize(context: ApiContext): RequestHandler<object, Tokenized> {
  return async (request, response) => {
    const body = parseRequest(tokenizeSchema, request.body);
    const configId = configIdOf(context, response, body.model);
    const result = await askEngine(context, response, {
      type: "tokenize",
      configId,
      text: body.content ?? body.prompt ?? "",
      addSpecial: body.add_special ?? body.add_special_tokens ?? body.content === undefined,
      parseSpecial: body.parse_special ?? true,
      withPieces: body.with_pieces ?? false,
    });
    if (result === null) return;
    response.json({
      tokens: body.with_pieces ? withPieces(result) : Array.from(result.ids),
      count: result.ids.length,
      max_model_len: findConfig(requireEngine(context), configId).contextTokens,
    });
  };
}

/** `POST /detokenize` */
export function detokenize(context: ApiContext): RequestHandler<object, Detokenized> {
  return async (request, response) => {
    const body = parseRequest(detokenizeSchema, request.body);
    const configId = configIdOf(context, response, body.model);
    const { vocabularySize } = findConfig(requireEngine(context), configId);
    const index = body.tokens.findIndex((token) => token >= vocabularySize);
    if (index >= 0)
      throw fieldError(
        `tokens.${index}`,
        `a token id must be below ${vocabularySize}, the size of the vocabulary`,
      );
    const result = await askEngine(context, response, {
      type: "detokenize",
      configId,
      tokens: Int32Array.from(body.tokens),
      withControl: true,
    });
    if (result === null) return;
    const content = Buffer.from(result.bytes).toString("utf8");
    response.json({ content, prompt: content });
  };
}

/** `GET /tokenizer_info`, which vLLM has: what evaluation harnesses need to divide texts as the server does. */
export function getTokenizerInfo(context: ApiContext): RequestHandler<object, TokenizerInfo> {
  return async (request, response) => {
    const asked = parseRequest(tokenizerQuerySchema, { ...request.query }).model;
    const configId = configIdOf(context, response, asked);
    const info = await askEngine(context, response, { type: "describeTokenizer", configId });
    if (info === null) return;
    response.json({
      tokenizer_class: "llama.cpp",
      chat_template: info.chatTemplate,
      bos_token: info.bos,
      eos_token: info.eos,
    });
  };
}

/** Tokens of a request's prompt as the base gets it; null: nobody listens any more. */
export async function countPrompt(
  context: ApiContext,
  response: Response,
  { model: configId, prompts }: RequestPlan,
): Promise<number | null> {
  localsOf(response).model = configId;
  const [prompt] = prompts as [Prompt];
  const result = await askEngine(context, response, { type: "renderPrompt", configId, prompt });
  return result && (result.prompts["base"]?.tokens.length ?? 0);
}

/** `POST /apply-template`: the base's prompt as llama-server would answer it, and each model's beside it. */
export function applyTemplate(context: ApiContext): RequestHandler<object, Templated> {
  return async (request, response) => {
    const body = parseRequest(applyTemplateSchema, request.body);
    const configId = configIdOf(context, response, body.model);
    const plan = planCompletion("chat", { ...body, model: configId }, planOptions(context, response));
    const [prompt] = plan.prompts as [Prompt];
    const result = await askEngine(context, response, { type: "renderPrompt", configId, prompt });
    if (result === null) return;
    const { prompts } = result;
    response.json({ prompt: prompts["base"]?.text ?? "", fusion: { prompts } });
  };
}

/**
 * @returns null when the client has left: the engine drops its question.
 * @throws ShouldersError of the engine
 */
export async function askEngine<Q extends EngineQuery>(
  { engine, cut }: ApiContext,
  response: Response,
  query: Q,
): Promise<QueryResults[Q["type"]] | null> {
  const signal = closedSignal(response, cut);
  try {
    return await engine.query(query, { party: localsOf(response).party, signal });
  } catch (thrown) {
    if (signal.aborted && !(signal.reason instanceof ShouldersError)) return null;
    throw thrown;
  }
}

function configIdOf(context: ApiContext, response: Response, asked: string | null | undefined): string {
  const description = requireEngine(context);
  const id = asked ?? description.configs[0]?.id ?? "";
  localsOf(response).model = findConfig(description, id).id;
  return id;
}

const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

function withPieces({ ids, pieces: { bytes, lengths } }: QueryResults["tokenize"]): Piece[] {
  let end = 0;
  return Array.from(ids, (id, index) => {
    const start = end;
    end += lengths[index] ?? 0;
    return { id, piece: pieceOf(bytes.subarray(start, end)) };
  });
}

/** Its text, or its bytes where it is a part of a character. */
function pieceOf(bytes: Uint8Array): string | number[] {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return [...bytes];
  }
}
