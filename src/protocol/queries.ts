import type { ErrorData } from "../errors.js";
import type { Prompt } from "./request.js";

/** Questions that need a model's vocabulary or template and no decoding. Long lists cross the pipe as bytes. */
export type EngineQuery =
  /**
   * `addSpecial`: begin with BOS where the vocabulary asks for it. `parseSpecial`: control tokens written out become
   * ids. `withPieces`: also each token's bytes.
   */
  | {
      type: "tokenize";
      configId: string;
      text: string;
      addSpecial: boolean;
      parseSpecial: boolean;
      withPieces?: boolean;
    }
  /** `withControl`: tokens that are no text are written by their names. */
  | { type: "detokenize"; configId: string; tokens: Int32Array; withControl?: boolean }
  | { type: "renderPrompt"; configId: string; prompt: Prompt }
  | { type: "describeTokenizer"; configId: string };

export interface QueryResults {
  /** `pieces`: the tokens' bytes one after the other, and how many each has; none where they were not asked for. */
  tokenize: { ids: Int32Array; pieces: { bytes: Uint8Array; lengths: Int32Array } };
  detokenize: { bytes: Uint8Array };
  /** Per role (`base`, `reference`, expert ids): the prompt as each model gets it. */
  renderPrompt: { prompts: Record<string, { text: string; tokens: number[] }> };
  /** Of the base: its template, and the tokens that begin a prompt and end an answer, as they are written. */
  describeTokenizer: { chatTemplate: string | null; bos: string | null; eos: string | null };
}

export type QueryOutcome =
  { result: QueryResults[keyof QueryResults]; error: null } | { result: null; error: ErrorData };
