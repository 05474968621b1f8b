/** What tests read of a part of a streamed answer, of either kind of completions. */
export interface Chunk {
  id: string;
  object: string;
  created: number;
  choices: {
    index: number;
    delta?: { role?: string; content?: string };
    text?: string;
    logprobs: {
      content?: { token: string; bytes: number[] | null; top_logprobs: unknown[] }[];
      tokens?: string[];
      text_offset?: number[];
    } | null;
    finish_reason: string | null;
    fusion?: { tokens: { position: number }[] };
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
}
