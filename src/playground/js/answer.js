import { respond } from "./stream.js";

/** Trace id to the request that it is of; the server keeps no prompts. */
const requestOf = new Map();

const encoder = new TextEncoder();

/** One answer: its tokens with their records, and the text that each of them shows. */
export class Answer {
  tokens = [];
  /** What each token shows: a character split over tokens appears with its last one. */
  texts = [];
  text = "";
  /** streaming · completed · incomplete · cancelled · failed */
  status = "streaming";
  error = null;
  traceId = null;
  /** The body that asked for it; null where only its trace is known. */
  request = null;
  /** Tokens given from the answer that this one continues: weighed anew, not drawn. */
  numKept = 0;
  usage = null;
  /** Called after every change. */
  onchange = () => undefined;
  #cancel = () => undefined;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(config) {
    this.config = config;
  }

  static ofTrace(trace, config) {
    const answer = new Answer(config);
    answer.#add(trace.tokens);
    answer.text = answer.texts.join("");
    answer.status = trace.status === "in_progress" ? "streaming" : trace.status;
    answer.traceId = trace.id;
    answer.request = requestOf.get(trace.id) ?? null;
    return answer;
  }

  /** Another answer to the same prompt, which begins with the first tokens of this one, weighed anew. */
  continued(numTokens) {
    const answer = new Answer(this.config);
    answer.numKept = numTokens;
    return answer;
  }

  /** The `fusion` field that begins an answer with the first tokens of this one. */
  beginning(numTokens) {
    return numTokens > 0 ? { continue: this.tokens.slice(0, numTokens).map(({ token }) => token.id) } : {};
  }

  async start(body) {
    this.request = body;
    const { done, cancel } = respond(body, {
      onCreated: (traceId) => {
        this.traceId = traceId;
        requestOf.set(traceId, body);
      },
      onTokens: (text, tokens) => {
        this.text += text;
        this.#add(tokens);
        this.onchange();
      },
    });
    this.#cancel = cancel;
    try {
      const response = await done;
      this.status = response.status;
      this.usage = response.usage;
      this.error = response.error?.message ?? null;
    } catch (error) {
      this.status = "failed";
      this.error = error.message;
    }
    this.onchange();
  }

  stop() {
    return this.#cancel();
  }

  #add(tokens) {
    this.tokens.push(...tokens);
    for (const { token } of tokens) {
      const bytes = token.bytes ? Uint8Array.from(token.bytes) : encoder.encode(token.text);
      this.texts.push(this.#decoder.decode(bytes, { stream: true }));
    }
  }
}
