import { ShouldersError } from "../errors.js";

/**
 * How libllama splits text before it merges tokens, by `tokenizer.ggml.pre`. For most names it has code of its own;
 * for the others it runs `std::regex`, which calls itself for every character of a run that one pattern takes. A
 * run that fills the stack ends the process, so runs are measured before the call.
 */

/** Values of `tokenizer.ggml.model` whose text is split by a pattern. Source: `llama_vocab::impl::load`. */
const splitModels: unknown[] = ["gpt2", "hybriddna"];

/** Split without recursion. Source: `llm_tokenizer_bpe` and `unicode_regex_split_custom` of the pinned llama.cpp. */
const splitByCode = new Set(
  (
    "a.x-4.0 chatglm-bpe codeshell command-r dbrx deepseek-r1-qwen exaone exaone4 f2llmv2 falcon-h1 falcon3 gemma4 " +
    "gigachat glm4 gpt-2 granite-docling granite-embed-multi-311m grok-2 hunyuan jais jina-de jina-es jina-v1-en " +
    "jina-v2-code jina-v2-de jina-v2-es jina-v5-nano kimi-k2 kormo laguna lfm2 llama-bpe llama-v3 llama3 megrez " +
    "mellum mellum2 midm-2.0 minerva-7b modern-bert mpt olmo phi-2 pixtral qwen2 qwen35 refact roberta-bpe " +
    "sarvam-moe smaug-bpe smollm solar-open stablelm2 starcoder trillion"
  ).split(" "),
);

/** Their patterns take all that is not white space. */
const wholeWords = new Set(["bloom", "gpt3-finnish", "poro-chat", "viking"]);
/** Its pattern takes words and the spaces between them. */
const wordsAndSpaces = new Set(["exaone-moe"]);

// What is not ASCII may be a letter to one table of Unicode and something else to another: it breaks no run.
const beyond = String.raw`[^\p{ASCII}\p{White_Space}]`;
const blanks = String.raw`\p{White_Space}`;
const letters = `[a-zA-Z${beyond}]`;
const digits = `[0-9${beyond}]`;
const signs = String.raw`[[\p{ASCII}--[a-zA-Z0-9\s]]${beyond}]`;

/** Matches run after run of a text. */
function runsOf(classes: readonly string[]): RegExp {
  return new RegExp(classes.map((one) => `${one}+`).join("|"), "vy");
}

const runsByKind = {
  classes: runsOf([blanks, letters, digits, signs]),
  words: runsOf([blanks, String.raw`[^\p{White_Space}]`]),
  spaced: runsOf([`[ ${letters}]`, blanks, digits, signs]),
};

/**
 * Characters of a run that a call may meet. Measured with every name and kind of character: a character takes up to
 * 480 bytes of stack. A pattern takes up to three runs (signs, those beyond ASCII on both sides, line ends).
 */
export const longestRun = 8_192;
export const stackBytes = 16 << 20;
/** Its pattern looks from every digit of a run to the run's end. */
const quadratic = "superbpe";
const longestOfQuadratic = 512;

export function longestRunOf(pre: string): number {
  return pre === quadratic ? longestOfQuadratic : longestRun;
}

/** The longest run that is read on the event loop, with koffi's usual stack of 2 MiB. */
export const longestRunAtOnce = 1_024;

/** What a text must keep to for this file's tokenizer; null: its splitter takes any text. */
export class RunLimit {
  readonly #runs: RegExp;
  readonly #longest: number;

  private constructor(pre: string) {
    const kind = wholeWords.has(pre) ? "words" : wordsAndSpaces.has(pre) ? "spaced" : "classes";
    this.#runs = runsByKind[kind];
    this.#longest = longestRunOf(pre);
  }

  /** @param values the file's metadata. */
  static of(values: ReadonlyMap<string, unknown>): RunLimit | null {
    if (!splitModels.includes(values.get("tokenizer.ggml.model"))) return null;
    const pre = values.get("tokenizer.ggml.pre");
    const name = typeof pre === "string" ? pre : "default";
    return splitByCode.has(name) ? null : new RunLimit(name);
  }

  /**
   * @param most `longestRun` or `longestRunAtOnce`.
   * @throws ShouldersError `invalid_request` with the place of a run that is too long.
   */
  check(text: string, most: number): void {
    const longest = Math.min(most, this.#longest);
    if (text.length <= longest) return;
    const runs = this.#runs;
    runs.lastIndex = 0;
    for (let start = 0; runs.test(text); start = runs.lastIndex) {
      const length = runs.lastIndex - start;
      if (length > longest)
        throw new ShouldersError(
          "invalid_request",
          `From character ${start} on, ${length} characters of one kind stand without a break; this model's ` +
            `tokenizer takes ${longest}. Break them up, for example by a line end.`,
        );
    }
  }
}
