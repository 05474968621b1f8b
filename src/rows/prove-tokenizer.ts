import { ShouldersError } from "../errors.js";
import type { LoadedModel } from "../llama/types.js";
import type { RowServer } from "./types.js";

/** Texts in which vocabularies and ways to split differ. */
const texts = [
  "Where does Paula Ratar live?",
  "The quick brown fox jumps over the lazy dog.",
  " leading space, and two  spaces within",
  "trailing space ",
  "UPPER lower MiXeD cAsE",
  "it's, they'll, we've, I'd, don't",
  "0 1 12 123 1234 12345 1234567890",
  "3.14159, -2.5e10, 1/3, 50%",
  "2026-11-30 23:59:59",
  "for (let i = 0; i < n; i++) { sum += a[i]; }",
  'def f(x):\n    return {"key": [x, None]}\n',
  "line one\nline two\n\nline four",
  "\ttabs\tand\t\tmore tabs",
  "https://example.org/path?query=a&b=c#part",
  "naïve café, Straße, Ærø, Łódź, İstanbul",
  "Привет, как дела?",
  "你好，世界。今天天气很好。",
  "こんにちは世界、カタカナとひらがな",
  "안녕하세요 세계",
  "مرحبا بالعالم",
  "नमस्ते दुनिया",
  "👋🏽 🙂 👩‍👩‍👧 ✨",
  "a\u0301 e\u0300 combined accents",
  "$x^2 + y_1 = \\frac{1}{2}$ ∑ ∫ ≤ ≠ ∞",
  "aaaaaaaaaaaaaaaaaaaaaaaa !!!!!!!!!! ----------",
];
/** Texts made of tokens of the vocabulary, and how many tokens each has: so 200 ids are compared too. */
const numSampled = 25;
const tokensEach = 8;

/**
 * Tokenizes 50 texts here and there.
 *
 * @throws ShouldersError `vocabulary_mismatch` with the first that differs; `base_unavailable`.
 */
export async function proveTokenizer(server: RowServer, tokenizer: LoadedModel): Promise<void> {
  for (const text of [...texts, ...sampledTexts(tokenizer)]) {
    const [here, there] = [tokenizer.tokenize(text, false), await server.tokenize(text)];
    let at = 0;
    while (at < here.length && here[at] === there[at]) at++;
    if (at === here.length && at === there.length) continue;
    throw new ShouldersError(
      "vocabulary_mismatch",
      `${server.name} reads ${JSON.stringify(text)} as other tokens than ${tokenizer.path}: token ${at} is ` +
        `${there[at] ?? "none"} there and ${here[at] ?? "none"} here. Give a GGUF file of the base's own vocabulary.`,
      { param: "base.tokenizer" },
    );
  }
}

/** Tokens from all over the vocabulary, written one after the other. */
function sampledTexts({ vocabulary }: LoadedModel): string[] {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const step = Math.max(1, Math.floor(vocabulary.size / (numSampled * tokensEach)));
  const words: string[] = [];
  for (let token = 0; token < vocabulary.size && words.length < numSampled * tokensEach; token += step) {
    if (vocabulary.isReserved(token)) continue;
    try {
      words.push(decoder.decode(vocabulary.bytes(token)));
    } catch {
      // A part of a character: no text has it alone.
    }
  }
  return Array.from({ length: numSampled }, (_, index) =>
    words.slice(index * tokensEach, (index + 1) * tokensEach).join(""),
  ).filter((text) => text !== "");
}
