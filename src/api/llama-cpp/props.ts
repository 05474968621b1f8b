import type { Request, RequestHandler } from "express";
import { z } from "zod";
import type { ConfigDescription } from "../../protocol/protocol.js";
import type { Props, Slots } from "../../wire/llama-cpp.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";
import { parseRequest } from "../parse.js";
import { askEngine } from "../vocabulary.js";
import { settingsOf } from "./completion-writer.js";

export const propsQuerySchema = z.looseObject({
  model: z.string().min(1).optional().describe("Id of a fusion config. Default: the first."),
});

/** `GET /props`: what front ends of llama-server ask before they begin. */
export function getProps(context: ApiContext): RequestHandler<{ id: string }, Props> {
  return async (request, response) => {
    const { id, base, contextTokens, sequences, sampling } = configOf(context, request);
    const tokenizer = await askEngine(context, response, { type: "describeTokenizer", configId: id });
    if (tokenizer === null) return;
    response.json({
      default_generation_settings: {
        n_ctx: contextTokens,
        params: settingsOf(sampling, { n_predict: -1, seed: -1, stop: [], stream: true }),
      },
      total_slots: sequences,
      model_alias: id,
      model_path: base.name,
      chat_template: tokenizer.chatTemplate ?? "",
      bos_token: tokenizer.bos ?? "",
      eos_token: tokenizer.eos ?? "",
      modalities: { vision: false, audio: false },
      build_info: `shoulders ${context.version}`,
    });
  };
}

/** `GET /slots`: how many answers can run and do; what they say is nobody else's concern. */
export function getSlots(context: ApiContext): RequestHandler<{ id: string }, Slots> {
  return (request, response) => {
    const { contextTokens, sequences } = configOf(context, request);
    const { running } = context.engine.stats;
    response.json(
      Array.from({ length: sequences }, (_, id) => ({
        id,
        n_ctx: contextTokens,
        speculative: false,
        is_processing: id < running,
      })),
    );
  };
}

function configOf(context: ApiContext, request: Request<{ id: string }>): ConfigDescription {
  const { model } = parseRequest(propsQuerySchema, { ...request.query });
  const description = requireEngine(context);
  return findConfig(description, model ?? description.configs[0]?.id ?? "");
}
