import { z } from "zod";
import { unsupportedUnless } from "../parse.js";

/** Fields of other servers that have no counterpart here. */

/** Whether a value asks for nothing, whatever the field means. */
export const isNothing = (value: unknown): boolean =>
  value == null ||
  value === false ||
  value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0);
const isNought = (value: unknown): boolean => isNothing(value) || value === 0;
const isOne = (value: unknown): boolean => isNothing(value) || value === 1;

/** What would change the answer and is not done: it passes where it asks for nothing, and is refused where it asks. */
const undone = (asksForNothing: (value: unknown) => boolean, hint = "leave it out") =>
  unsupportedUnless(z.unknown(), asksForNothing, hint);

export const undoneFields = {
  min_length: undone(isNought),
  // Ways to sample.
  mirostat: undone(isNought),
  mirostat_mode: undone(isNought),
  dry_multiplier: undone(isNought),
  xtc_probability: undone(isNought),
  dynatemp_range: undone(isNought),
  top_n_sigma: undone((value) => isNought(value) || (typeof value === "number" && value < 0)),
  nsigma: undone(isNought),
  tfs: undone(isOne),
  tfs_z: undone(isOne),
  top_a: undone(isNought),
  smoothing_factor: undone(isNought),
  epsilon_cutoff: undone(isNought),
  eta_cutoff: undone(isNought),
  penalty_alpha: undone(isNought),
  no_repeat_ngram_size: undone(isNought),
  use_beam_search: undone(isNothing),
  num_beams: undone(isOne),
  guidance_scale: undone(isOne),
  negative_prompt: undone(isNothing),
  // What may be said.
  bad_words: undone(isNothing),
  banned_strings: undone(isNothing),
  banned_tokens: undone(isNothing),
  custom_token_bans: undone(isNothing),
  allowed_token_ids: undone(isNothing),
  logits_processors: undone(isNothing),
  // What the prompt is made of.
  truncate_prompt_tokens: undone((value) => value === -1),
  documents: undone(isNothing),
  template: undone(isNothing),
  system: undone(isNothing, "send it as a message of the role system"),
  raw: undone(isNothing),
  images: undone(isNothing),
  lora: undone(isNothing),
  // What is answered.
  stop_regex: undone(isNothing),
  no_stop_trim: undone(isNothing),
  include_stop_str_in_output: undone(isNothing),
  skip_special_tokens: undone((value) => value === true),
  prompt_logprobs: undone(isNothing, "ask /v1/completions with echo and logprobs"),
  post_sampling_probs: undone(isNothing, 'set fusion.logprobs to "processed"'),
  return_tokens_as_token_ids: undone(isNothing),
  return_full_text: undone(isNothing, "ask /v1/completions with echo"),
};

/** Fields that ask for nothing here, whatever they hold: they are not even named. */
export const idleFields: ReadonlySet<string> = new Set(["cache_prompt", "keep_alive"]);

/** Fields of others' that are on unless they are said to be off: only `false` asks for something, and is told. */
export const onFields: ReadonlySet<string> = new Set(
  "add_bos_token parse_tool_calls separate_reasoning spaces_between_special_tokens stream_reasoning".split(
    " ",
  ),
);

/** Fields that are known elsewhere, and so are no mistyped names of ours: they are ignored, and named. */
export const foreignFields: ReadonlySet<string> = new Set(
  (
    "add_special_tokens cache_salt cont_len conversation_id decoder_input_details details detokenize " +
    "dry_allowed_length dry_base dry_penalty_last_n dry_sequence_breakers dynatemp_exponent dynatemp_high dynatemp_low " +
    "early_stopping guided_decoding_backend guided_whitespace_pattern id_slot inputs " +
    "kv_transfer_params length_penalty message_id min_a min_keep mirostat_eta mirostat_lr mirostat_tau " +
    "mm_processor_kwargs mode models n_ctx n_discard n_indent n_keep num_batch num_ctx num_gpu num_keep num_thread " +
    "penalize_nl penalize_newline plugins prefix priority prompt_id provider reasoning_format repeat_last_n repetition_penalty_range request_id response_fields " +
    "return_progress return_token_ids return_tokens route sampler_order sampler_priority samplers slot_id " +
    "smoothing_curve t_max_predict_ms temperature_last timings_per_token top_e transforms " +
    "truncation_length type usage use_cache vision vllm_xargs watermark xtc_threshold"
  ).split(" "),
);
