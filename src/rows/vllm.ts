import { z } from "zod";
import { ShouldersError } from "../errors.js";
import { HttpClient } from "./http-client.js";
import { unavailable } from "./persist.js";
import type { RowEntries } from "./partial-row.js";
import { asReply, type HttpServerOptions, noStats } from "./servers.js";
import type { RowServer, RowWish, SequenceReply, SequenceRows } from "./types.js";

/**
 * vLLM's `/v1/completions`. Asking for log-probabilities of prompt tokens would switch its prefix cache off, so a row is
 * asked for as the first token after a prompt; the prompts of a block are one request, and share what is cached of them.
 */

const completionsPath = "/v1/completions";
const tokenPrefix = "token_id:";
/** vLLM takes no longer list of single tokens. */
const mostIds = 128;
/** More entries than that are never asked for. */
const mostEntries = 4096;

const choiceSchema = z.object({
  index: z.int(),
  logprobs: z.object({ top_logprobs: z.array(z.record(z.string(), z.number())).min(1) }),
});
const answerSchema = z.object({ choices: z.array(choiceSchema) });
const tokensSchema = z.object({ tokens: z.array(z.int()), max_model_len: z.int() });

/** Nothing that a server's own defaults could change of a row. */
const plainSampling = {
  max_tokens: 1,
  temperature: 1,
  top_p: 1,
  top_k: -1,
  min_p: 0,
  presence_penalty: 0,
  frequency_penalty: 0,
  repetition_penalty: 1,
  return_tokens_as_token_ids: true,
};

export class VllmServer implements RowServer {
  readonly name: string;
  readonly stats = noStats();
  mostTop: number;
  givesIds = false;
  readonly #model: string;
  readonly #http: HttpClient;

  constructor({ name, url, apiKey, timeoutMs, model, top }: HttpServerOptions) {
    this.name = name;
    this.#model = model ?? "";
    this.mostTop = top;
    this.#http = new HttpClient({ name, url, apiKey, timeoutMs, stats: this.stats });
  }

  async fetch(wanted: readonly SequenceRows[]): Promise<SequenceReply[]> {
    if (wanted.some(({ rows }) => rows.length > 0)) this.stats.roundTrips++;
    return Promise.all(wanted.map((one) => asReply(this.stats, () => this.#rows(one))));
  }

  async #rows({ tokens, rows }: SequenceRows): Promise<RowEntries[]> {
    // What wants no row is told with the first that does.
    if (rows.length === 0) return [];
    const prompts = rows.map(({ position }) => tokens.slice(0, position + 1));
    const tops = rows.map(({ wish }) => Math.min(this.mostTop, topOf(wish)));
    const top = Math.max(...tops);
    const ids = this.givesIds ? [...new Set(rows.flatMap(({ wish }) => wish.ids))].slice(0, mostIds) : [];
    const asking = prompts.filter((_, index) => (rows[index]?.wish.ids.length ?? 0) > 0);
    const [best, singles] = await Promise.all([
      this.#ask(prompts, { logprobs: top }),
      ids.length === 0 ? [] : this.#ask(asking, { logprobs: 1, logprob_token_ids: ids }),
    ]);
    const asked = singles[Symbol.iterator]();
    return best.map((entries, index) => {
      const isAsked = ids.length > 0 && (rows[index]?.wish.ids.length ?? 0) > 0;
      return joined(entries, top, isAsked ? (asked.next().value ?? []) : []);
    });
  }

  /** Entries of the row after each prompt. */
  async #ask(prompts: readonly number[][], fields: object): Promise<[number, number][][]> {
    const body = { model: this.#model, prompt: prompts, ...plainSampling, ...fields };
    const { choices } = await this.#http.request(completionsPath, body, answerSchema);
    if (choices.length !== prompts.length)
      throw unavailable(this.name, `gave ${choices.length} answers to ${prompts.length} prompts`);
    return [...choices]
      .sort((a, b) => a.index - b.index)
      .map(({ logprobs }) => this.#entries(logprobs.top_logprobs[0] ?? {}));
  }

  #entries(named: Record<string, number>): [number, number][] {
    return Object.entries(named).map(([name, logprob]) => {
      const token = name.startsWith(tokenPrefix) ? Number(name.slice(tokenPrefix.length)) : NaN;
      if (!Number.isInteger(token))
        throw unavailable(this.name, "names tokens by their texts; its version is too old");
      return [token, logprob];
    });
  }

  async tokenize(text: string): Promise<readonly number[]> {
    const { tokens } = await this.#tokenized(text);
    return tokens;
  }

  #tokenized(text: string): Promise<z.output<typeof tokensSchema>> {
    const body = { model: this.#model, prompt: text, add_special_tokens: false };
    return this.#http.request("/tokenize", body, tokensSchema);
  }

  async prove(contextTokens: number): Promise<void> {
    const { tokens, max_model_len: most } = await this.#tokenized("Where is it?");
    checkLength(this.name, most, contextTokens);
    await this.#findLimit(tokens);
    const ids = [0, 1, 2];
    const body = {
      model: this.#model,
      prompt: [tokens],
      ...plainSampling,
      logprobs: 1,
      logprob_token_ids: ids,
    };
    const answer = await this.#http.ask(completionsPath, body);
    if ("status" in answer) return;
    const { choices } = this.#http.read(completionsPath, answer.text, answerSchema);
    const given = new Set(Object.keys(choices[0]?.logprobs.top_logprobs[0] ?? {}));
    // Fields that are not known are ignored in silence.
    this.givesIds = ids.every((id) => given.has(`${tokenPrefix}${id}`));
  }

  /** What is above the limit of `--max-logprobs` is refused, with its number. */
  async #findLimit(tokens: readonly number[]): Promise<void> {
    const body = { model: this.#model, prompt: [tokens], ...plainSampling, logprobs: mostEntries };
    const answer = await this.#http.ask(completionsPath, body);
    const limit = "status" in answer ? Number(/max allowed: (\d+)/.exec(answer.body)?.[1]) : mostEntries;
    if (!Number.isInteger(limit)) return;
    if (limit < this.mostTop)
      throw new ShouldersError(
        "fusion_config_invalid",
        `${this.name} gives at most ${limit} entries of a row, and "top" is ${this.mostTop}. ` +
          `Lower it, or start the server with --max-logprobs ${this.mostTop}.`,
        { param: "base.top" },
      );
    this.mostTop = limit;
  }

  cut(): void {
    // It is told whole sequences.
  }

  copyPrefix(): void {
    // It finds equal beginnings by itself.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.close();
    await Promise.resolve();
  }
}

function topOf({ top }: RowWish): number {
  return top === "all" ? mostEntries : top;
}

/** Of more than `top` entries the one too many is the token that was drawn, which may be any. */
function joined(
  best: readonly [number, number][],
  top: number,
  singles: readonly [number, number][],
): RowEntries {
  const sorted = [...best].sort(([, a], [, b]) => b - a);
  const last = sorted[Math.min(top, sorted.length) - 1];
  return { known: new Map([...singles, ...best]), cap: last?.[1] ?? 0, logSum: 0 };
}

/** @throws ShouldersError `fusion_config_invalid` where sequences could grow longer than the server takes. */
export function checkLength(name: string, most: number, contextTokens: number): void {
  if (most > 0 && most < contextTokens)
    throw new ShouldersError(
      "fusion_config_invalid",
      `${name} takes ${most} tokens, and context.tokens is ${contextTokens}. Lower it to ${most} or less.`,
      { param: "context.tokens" },
    );
}
