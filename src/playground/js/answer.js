import { respond } from "./stream.js";

/** One answer: its tokens with their records, and the text that each of them shows. */
export class Answer {
  tokens = [];
  /** What each token shows: a character split over tokens appears with its last one. */
  texts = [];
  /** streaming · completed · incomplete · cancelled · failed */
  status = "streaming";
  error = null;
  traceId = null;
  /** Tokens taken over from the answer that this one continues. */
  numKept = 0;
  usage = null;
  /** Called after every change. */
  onchange = () => undefined;
  #cancel = () => undefined;
  /** Text that came before the token it belongs to. */
  #early = "";

  constructor(config) {
    this.config = config;
  }

  static ofTrace(trace, config) {
    const answer = new Answer(config);
    answer.tokens = trace.tokens;
    answer.texts = trace.tokens.map(({ token }) => token.text);
    answer.status = trace.status === "in_progress" ? "streaming" : trace.status;
    answer.traceId = trace.id;
    return answer;
  }

  get text() {
    return this.texts.join("");
  }

  /** Keeps the first tokens of another answer, as they were drawn there. */
  keep(other, numTokens) {
    this.tokens = other.tokens.slice(0, numTokens);
    this.texts = other.texts.slice(0, numTokens);
    this.numKept = numTokens;
  }

  async start(body) {
    const { done, cancel } = respond(body, {
      onCreated: (traceId) => {
        this.traceId = traceId;
      },
      onTokens: (text, tokens) => {
        const { texts, rest } = sharedOut(this.#early + text, tokens);
        this.#early = rest;
        this.texts.push(...texts);
        this.tokens.push(...tokens);
        this.onchange();
      },
    });
    this.#cancel = cancel;
    try {
      const response = await done;
      this.status = response.status;
      this.usage = response.usage;
      this.error = response.error?.message ?? null;
      if (this.texts.length > 0) this.texts[this.texts.length - 1] += this.#early;
    } catch (error) {
      this.status = "failed";
      this.error = error.message;
    }
    this.onchange();
  }

  stop() {
    return this.#cancel();
  }
}

/**
 * Text, token by token. A character that is split over tokens goes to the last of them; what belongs to a token
 * that is still held back is the rest.
 */
export function sharedOut(text, tokens) {
  let rest = text;
  const texts = tokens.map(({ token }) => {
    if (token.text === "" || !rest.startsWith(token.text)) return "";
    rest = rest.slice(token.text.length);
    return token.text;
  });
  if (!tokens.at(-1)?.token.text.includes("\ufffd")) return { texts, rest };
  texts[texts.length - 1] += rest;
  return { texts, rest: "" };
}
