import type { GeneratedToken } from "../../protocol/protocol.js";
import type { ChatCandidate, ChatLogprobs, TextLogprobs } from "../../wire/logprobs.js";

/** Log-probabilities as OpenAI writes them. */

export function chatLogprobs(tokens: readonly GeneratedToken[]): ChatLogprobs {
  const content = tokens.map(({ record, bytes, topLogprobs }) => ({
    ...chatCandidate(record.token.text, record.logprob, bytes),
    top_logprobs: topLogprobs.map((top) => chatCandidate(top.text, top.logprob, top.bytes)),
  }));
  return { content, refusal: null };
}

function chatCandidate(token: string, logprob: number, bytes: Uint8Array): ChatCandidate {
  return { token, logprob, bytes: bytes.length === 0 ? null : [...bytes] };
}

/** The legacy shape, for one completion: `text_offset` goes on from call to call. */
export class TextLogprobsWriter {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #offset = 0;

  write(tokens: readonly GeneratedToken[]): TextLogprobs {
    const names = tokens.map(({ record, bytes }) => tokenName(record.token.text, bytes));
    return {
      tokens: names,
      token_logprobs: tokens.map(({ record }) => record.logprob),
      top_logprobs: tokens.map((token, index) => alternatives(token, names[index] ?? "")),
      text_offset: tokens.map(({ bytes }) => this.#place(bytes)),
    };
  }

  /** An echoed prompt: its first token has no log-probability. */
  writePrompt(first: Uint8Array, others: readonly GeneratedToken[]): TextLogprobs {
    const start = this.#place(first);
    const rest = this.write(others);
    return {
      tokens: [tokenName("", first), ...rest.tokens],
      token_logprobs: [null, ...rest.token_logprobs],
      top_logprobs: [null, ...rest.top_logprobs],
      text_offset: [start, ...rest.text_offset],
    };
  }

  /** @returns where the token starts. */
  #place(bytes: Uint8Array): number {
    const start = this.#offset;
    this.#offset += Array.from(this.#decoder.decode(bytes, { stream: true })).length;
    return start;
  }
}

export function joinLogprobs(a: TextLogprobs, b: TextLogprobs): TextLogprobs {
  return {
    tokens: [...a.tokens, ...b.tokens],
    token_logprobs: [...a.token_logprobs, ...b.token_logprobs],
    top_logprobs: [...a.top_logprobs, ...b.top_logprobs],
    text_offset: [...a.text_offset, ...b.text_offset],
  };
}

function alternatives({ record, topLogprobs }: GeneratedToken, name: string): Record<string, number> {
  const entries = topLogprobs.map((top): [string, number] => [tokenName(top.text, top.bytes), top.logprob]);
  // Best first; of two tokens with the same text the better one stays.
  return Object.fromEntries([...entries, [name, record.logprob] as const].reverse());
}

const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** A token that is part of a character has no text of its own: OpenAI writes `bytes:\xe2\x82`. */
function tokenName(text: string, bytes: Uint8Array): string {
  if (bytes.length === 0) return text;
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return "bytes:" + [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  }
}
