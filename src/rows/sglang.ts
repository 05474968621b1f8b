import { z } from "zod";
import { ShouldersError } from "../errors.js";
import { HttpClient } from "./http-client.js";
import type { RowEntries } from "./partial-row.js";
import { unavailable } from "./persist.js";
import { asReply, type HttpServerOptions, noStats } from "./servers.js";
import type { RowServer, SequenceReply, SequenceRows } from "./types.js";
import { checkLength } from "./vllm.js";

/**
 * SGLang's `/generate`. A block is one request: its tokens are the prompt's last ones, whose rows come back from
 * `logprob_start_len` on, and what is before that is in its radix cache.
 */

const generatePath = "/generate";
/** No limit of its own was found; more than that is not worth the bytes. */
const mostEntries = 4096;

/** Log-probability, token, text. */
const entrySchema = z.tuple([z.number().nullable(), z.int()]).rest(z.unknown());
/** The first row of a prompt has nothing before it. */
const rowsSchema = z.array(z.array(entrySchema).nullable()).nullish();
const answerSchema = z.object({
  meta_info: z.object({
    input_top_logprobs: rowsSchema,
    output_top_logprobs: rowsSchema,
    input_token_ids_logprobs: rowsSchema,
    output_token_ids_logprobs: rowsSchema,
  }),
});
const tokensSchema = z.object({ tokens: z.array(z.int()), max_model_len: z.int() });

/** Nothing that a server's own defaults could change of a row: that of the next token is scaled by the temperature. */
const plainSampling = {
  max_new_tokens: 1,
  temperature: 1,
  top_p: 1,
  top_k: -1,
  min_p: 0,
  presence_penalty: 0,
  frequency_penalty: 0,
  repetition_penalty: 1,
};

type Entry = [token: number, logprob: number];

export class SglangServer implements RowServer {
  readonly name: string;
  readonly stats = noStats();
  readonly mostTop = mostEntries;
  readonly givesIds = true;
  readonly #http: HttpClient;
  readonly #model: string | undefined;

  constructor({ name, url, apiKey, timeoutMs, model }: HttpServerOptions) {
    this.name = name;
    this.#model = model;
    this.#http = new HttpClient({ name, url, apiKey, timeoutMs, stats: this.stats });
  }

  async fetch(wanted: readonly SequenceRows[]): Promise<SequenceReply[]> {
    if (wanted.some(({ rows }) => rows.length > 0)) this.stats.roundTrips++;
    return Promise.all(wanted.map((one) => asReply(this.stats, () => this.#rows(one))));
  }

  async #rows({ tokens, rows }: SequenceRows): Promise<RowEntries[]> {
    const [first] = rows;
    // What wants no row is told with the first that does.
    if (first === undefined) return [];
    const last = rows.at(-1)?.position ?? first.position;
    const prompt = tokens.slice(0, last + 1);
    const top = Math.max(
      ...rows.map(({ wish }) => (wish.top === "all" ? mostEntries : Math.min(wish.top, mostEntries))),
    );
    const ids = [...new Set(rows.flatMap(({ wish }) => wish.ids))];
    const { meta_info: meta } = await this.#http.request(
      generatePath,
      {
        input_ids: prompt,
        sampling_params: plainSampling,
        return_logprob: true,
        // The entry at this place itself is null; the row after it is the next one.
        logprob_start_len: first.position,
        top_logprobs_num: top,
        ...(ids.length > 0 && { token_ids_logprob: ids }),
        return_text_in_logprobs: false,
      },
      answerSchema,
    );
    return rows.map(({ position }) => {
      const at = position === last ? null : position - first.position + 1;
      const best = this.#row(at, meta.input_top_logprobs, meta.output_top_logprobs);
      if (best.length === 0) throw unavailable(this.name, "gave a row without entries");
      const singles =
        ids.length === 0 ? [] : this.#row(at, meta.input_token_ids_logprobs, meta.output_token_ids_logprobs);
      const cap = Math.min(...best.map(([, logprob]) => logprob));
      return { known: new Map([...singles, ...best]), cap, logSum: 0 };
    });
  }

  /** @param at place among the prompt's rows; null: that of the next token. */
  #row(at: number | null, input: z.output<typeof rowsSchema>, output: z.output<typeof rowsSchema>): Entry[] {
    const row = at === null ? output?.[0] : input?.[at];
    if (row === null || row === undefined)
      throw unavailable(this.name, "left out a row that was asked for; it may ignore logprob_start_len");
    return row.flatMap(([logprob, token]): Entry[] => (logprob === null ? [] : [[token, logprob]]));
  }

  async tokenize(text: string): Promise<readonly number[]> {
    const { tokens } = await this.#tokenized(text);
    return tokens;
  }

  #tokenized(text: string): Promise<z.output<typeof tokensSchema>> {
    return this.#http.request("/tokenize", { prompt: text, add_special_tokens: false }, tokensSchema);
  }

  async prove(contextTokens: number): Promise<void> {
    const { max_model_len: most } = await this.#tokenized("Where is it?");
    checkLength(this.name, most, contextTokens);
    if (this.#model === undefined) return;
    const infoSchema = z.object({ model_path: z.string(), served_model_name: z.string().optional() });
    const info = await this.#http.request("/model_info", null, infoSchema);
    if (![info.model_path, info.served_model_name].includes(this.#model))
      throw new ShouldersError(
        "fusion_config_invalid",
        `${this.name} serves ${info.served_model_name ?? info.model_path}, and the config wants ${this.#model}.`,
        { param: "base.model" },
      );
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
