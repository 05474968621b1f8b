import { makeRandom } from "./rows.js";
import {
  type Answer,
  best,
  draw,
  logSoftmax,
  serveStandIn,
  type StandIn,
  type StandInBase,
} from "./stand-in-base.js";

/**
 * SGLang's `/generate`, `/tokenize` and `/model_info` over a real model, as version 0.5.23 has them
 * (managers/tokenizer_manager.py, scheduler.py, scheduler_components/logprob_result_processor.py): the prompt's rows begin
 * with a null at `logprob_start_len`, the last one is left out, and the next token's is scaled by the temperature.
 */

export interface StandInSglangOptions {
  modelPath?: string;
  apiKey?: string;
  contextLength?: number;
}

type Entry = [logprob: number, token: number, text: string | null];

interface Generate {
  input_ids: number[];
  sampling_params: { max_new_tokens: number; temperature: number };
  return_logprob?: boolean;
  logprob_start_len?: number;
  top_logprobs_num?: number;
  token_ids_logprob?: number[];
  return_text_in_logprobs?: boolean;
}

export function serveSglang(
  base: StandInBase,
  { modelPath = "models/giant", apiKey, contextLength = 512 }: StandInSglangOptions = {},
): Promise<StandIn> {
  const random = makeRandom(11);
  const { vocabulary } = base.model;
  const refuse = (message: string): Answer => ({ status: 400, body: { error: { message } } });

  const generate = async (body: Generate): Promise<Answer> => {
    const { input_ids: tokens, sampling_params: sampling } = body;
    const startLength = body.logprob_start_len ?? -1;
    if (tokens.some((token) => token < 0 || token >= vocabulary.size))
      return refuse(`The input_ids contain a token id that is out of range [0, ${vocabulary.size}).`);
    if (tokens.length >= contextLength)
      return refuse(
        `The input (${tokens.length} tokens) is longer than the model's context length (${contextLength} tokens).`,
      );
    if (startLength > tokens.length)
      return refuse(
        `req.logprob_start_len=${startLength} is higher than the number of input tokens. Please use a smaller logprob_start_len.`,
      );
    const start = startLength < 0 ? tokens.length : startLength;
    const positions = tokens.map((_, at) => at).filter((at) => at >= start || at === tokens.length - 1);
    const rows = await base.rows(tokens, positions);
    const last = rows.at(-1)!;
    const next = logSoftmax(last.map((logprob) => logprob / sampling.temperature));
    const entry = (token: number, row: Float32Array): Entry => [
      row[token]!,
      token,
      body.return_text_in_logprobs === true ? Buffer.from(vocabulary.bytes(token)).toString("utf8") : null,
    ];
    const topOf = (row: Float32Array) =>
      best(row, body.top_logprobs_num ?? 0).map(([token]) => entry(token, row));
    const idsOf = (row: Float32Array) => (body.token_ids_logprob ?? []).map((token) => entry(token, row));
    const inner = start >= tokens.length ? [] : rows.slice(0, -1);
    const input = (of: (row: Float32Array) => Entry[]) =>
      start >= tokens.length ? [] : [null, ...inner.map(of)];
    const drawn = draw(next, random());
    const isAsked = body.return_logprob === true;
    return {
      status: 200,
      body: {
        text: Buffer.from(vocabulary.bytes(drawn)).toString("utf8"),
        output_ids: [drawn],
        meta_info: {
          id: "1",
          finish_reason: { type: "length", length: 1 },
          prompt_tokens: tokens.length,
          completion_tokens: 1,
          cached_tokens: 0,
          ...(isAsked && {
            input_token_logprobs: start >= tokens.length ? [] : [[null, tokens[start], null]],
            output_token_logprobs: [entry(drawn, next)],
            ...((body.top_logprobs_num ?? 0) > 0 && {
              input_top_logprobs: input(topOf),
              output_top_logprobs: [topOf(next)],
            }),
            ...(body.token_ids_logprob !== undefined && {
              input_token_ids_logprobs: input(idsOf),
              output_token_ids_logprobs: [idsOf(next)],
            }),
          }),
        },
      },
    };
  };

  return serveStandIn(async (path, body, request) => {
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`)
      return { status: 401, body: { error: "Unauthorized" } };
    if (path === "/generate") return generate(body as unknown as Generate);
    if (path === "/model_info")
      return {
        status: 200,
        body: { model_path: modelPath, served_model_name: modelPath, is_generation: true },
      };
    if (path === "/tokenize" || path === "/v1/tokenize") {
      const tokens = base.model.tokenize(body["prompt"] as string, false);
      return { status: 200, body: { tokens, count: tokens.length, max_model_len: contextLength } };
    }
    return { status: 404, body: { detail: "Not Found" } };
  });
}
