import { makeRandom } from "./rows.js";
import { type Answer, best, draw, serveStandIn, type StandIn, type StandInBase } from "./stand-in-base.js";

/**
 * vLLM's `/v1/completions` and `/tokenize` over a real model, as version 0.33.0 has them
 * (entrypoints/openai/completion, sampling_params.py, entrypoints/serve/tokenize): shapes, limits and refusals of what a
 * client of rows can meet.
 */

export interface StandInVllmOptions {
  model?: string;
  apiKey?: string;
  /** `--max-logprobs` */
  maxLogprobs?: number;
  maxModelLen?: number;
  /** Versions before logprob_token_ids pass over it in silence, as over any field that they do not know. */
  knowsTokenIds?: boolean;
}

/** MAX_LOGPROB_TOKEN_IDS */
const mostTokenIds = 128;

export function serveVllm(
  base: StandInBase,
  {
    model = "giant",
    apiKey,
    maxLogprobs = 20,
    maxModelLen = 512,
    knowsTokenIds = true,
  }: StandInVllmOptions = {},
): Promise<StandIn> {
  const random = makeRandom(7);
  const { vocabulary } = base.model;
  const refuse = (message: string, param: string, status = 400): Answer => ({
    status,
    body: {
      error: {
        message,
        type: status === 404 ? "NotFoundError" : "BadRequestError",
        param,
        code: status,
      },
    },
  });
  const textOf = (token: number) => Buffer.from(vocabulary.bytes(token)).toString("utf8");

  const complete = async (body: Record<string, unknown>): Promise<Answer> => {
    const { prompt, max_tokens: most, logprobs = null, temperature = 1 } = body;
    const ids = knowsTokenIds ? ((body["logprob_token_ids"] as number[] | undefined) ?? null) : null;
    if (body["model"] !== model)
      return refuse(`The model \`${String(body["model"])}\` does not exist.`, "model", 404);
    const prompts = (Array.isArray((prompt as unknown[])[0]) ? prompt : [prompt]) as number[][];
    if (most !== 1 || temperature !== 1)
      return refuse("this stand-in draws one token, at temperature 1", "max_tokens");
    const tooLong = prompts.find(({ length }) => length + 1 > maxModelLen);
    if (tooLong !== undefined)
      return refuse(
        `This model's maximum context length is ${maxModelLen} tokens. However, you requested 1 output tokens and ` +
          `your prompt contains at least ${tooLong.length} input tokens.`,
        "prompt",
      );
    if (prompts.some((tokens) => tokens.some((token) => token >= vocabulary.size)))
      return refuse("Token id is out of vocabulary", "prompt");
    if (ids !== null && logprobs === null)
      return refuse("when using `logprob_token_ids`, `logprobs` must be set.", "logprob_token_ids");
    if (ids !== null && ids.length > mostTokenIds)
      return refuse(
        `Requested logprob_token_ids of length ${ids.length}, which is greater than max allowed: ${mostTokenIds}`,
        "logprob_token_ids",
      );
    if (ids?.some((token) => token >= vocabulary.size))
      return refuse("token_id(s) in logprob_token_ids contain out-of-vocab token ids.", "logprob_token_ids");
    const count = ids === null ? ((logprobs as number | null) ?? 0) : ids.length;
    if (ids === null && count > maxLogprobs)
      return refuse(
        `Requested sample logprobs of ${count}, which is greater than max allowed: ${maxLogprobs}`,
        "logprobs",
      );
    const name = (token: number) =>
      body["return_tokens_as_token_ids"] === true ? `token_id:${token}` : textOf(token);
    const choices = [];
    for (const [index, tokens] of prompts.entries()) {
      const [row] = await base.rows(tokens, [tokens.length - 1]);
      const drawn = draw(row!, random());
      const others = ids === null ? best(row!, count).map(([token]) => token) : ids;
      // The one that was drawn comes first, whether it is among the others or not.
      const top = Object.fromEntries(
        [drawn, ...others].map((token) => [name(token), Math.max(row![token]!, -9999)]),
      );
      choices.push({
        index,
        text: textOf(drawn),
        logprobs:
          logprobs === null
            ? null
            : {
                text_offset: [0],
                token_logprobs: [row![drawn]],
                tokens: [name(drawn)],
                top_logprobs: [top],
              },
        finish_reason: "length",
        stop_reason: null,
        token_ids: body["return_token_ids"] === true ? [drawn] : null,
        prompt_logprobs: null,
        prompt_token_ids: body["return_token_ids"] === true ? tokens : null,
      });
    }
    return {
      status: 200,
      body: {
        id: "cmpl-1",
        object: "text_completion",
        created: 1,
        model,
        choices,
        usage: { prompt_tokens: prompts.flat().length, completion_tokens: choices.length },
      },
    };
  };

  return serveStandIn(async (path, body, request) => {
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`)
      return { status: 401, body: { error: "Unauthorized" } };
    if (path === "/v1/completions") return complete(body);
    if (path === "/tokenize") {
      const tokens = base.model.tokenize(body["prompt"] as string, false);
      const isPlain = body["add_special_tokens"] === false || !vocabulary.addsBos;
      const all = isPlain ? tokens : [vocabulary.bos ?? 0, ...tokens];
      return {
        status: 200,
        body: { count: all.length, max_model_len: maxModelLen, tokens: all, token_strs: null },
      };
    }
    return { status: 404, body: { detail: "Not Found" } };
  });
}
