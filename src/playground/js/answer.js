// @ts-check
import { getJson } from "./api.js";
import { Tally } from "./experts.js";
import { reasonOf } from "./format.js";
import { respond } from "./stream.js";

/** @import { FusionFields } from "./fusion-controls.js" */

/**
 * @typedef {import("../../wire/token-record.js").TokenRecord} TokenRecord
 * @typedef {import("../../wire/config.js").ConfigBody} Config
 * @typedef {import("../../wire/trace.js").Trace} Trace
 *
 * @typedef {{ role: "system" | "user" | "assistant"; content: string }} Message
 * @typedef {{ trace: string; keep_trace: string }} Traces what an answer brings of each token, and what the server keeps
 *
 * What asks for an answer; more fields say how it is sampled.
 * @typedef {{ model: string; messages: Message[]; fusion: FusionFields & Traces; [name: string]: unknown }} Request
 */

/** Trace id to the request that it is of; the server keeps no prompts. @type {Map<string, Request>} */
const requestOf = new Map();

const encoder = new TextEncoder();

/** One answer: its tokens with their records, and the text that each of them shows. */
export class Answer {
  /** @type {TokenRecord[]} */
  tokens = [];
  tally = new Tally();
  /** Whole records that were asked for, by their place. @type {Map<number, TokenRecord>} */
  #full = new Map();
  /** Whether the server keeps whole records. */
  keepsFull = false;
  /** What each token shows: a character split over tokens appears with its last one. @type {string[]} */
  texts = [];
  text = "";
  /** @type {"streaming" | import("../../wire/frames.js").EndedResponse["status"]} */
  status = "streaming";
  /** @type {string | null} */
  error = null;
  /** @type {string | null} */
  traceId = null;
  /** The body that asked for it; null where only its trace is known. @type {Request | null} */
  request = null;
  /** Tokens given from the answer that this one continues: weighed anew, not drawn. */
  numKept = 0;
  /** @type {import("../../wire/usage.js").UsageRecord | null} */
  usage = null;
  /** What it was rated, from 0 to 1. @type {number | null} */
  score = null;
  /** Called after every change. @type {() => void} */
  onchange = () => undefined;
  /** @type {() => void} */
  #cancel = () => undefined;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** @param {Config | null} config */
  constructor(config) {
    this.config = config;
  }

  /**
   * @param {Trace} trace
   * @param {Config | null} config
   */
  static ofTrace(trace, config) {
    const answer = new Answer(config);
    answer.keepsFull = trace.level === "full";
    answer.#add(trace.tokens);
    answer.text = answer.texts.join("");
    answer.status = trace.status === "in_progress" ? "streaming" : trace.status;
    answer.traceId = trace.id;
    answer.request = requestOf.get(trace.id) ?? null;
    return answer;
  }

  /**
   * The whole record of a token, with what only a full trace has; null: nobody keeps it.
   *
   * @param {number} index
   * @returns {Promise<TokenRecord | null>}
   */
  async full(index) {
    if (!this.keepsFull || this.traceId === null) return null;
    const known = this.#full.get(index);
    if (known) return known;
    const path = `v1/fusion/traces/${encodeURIComponent(this.traceId)}?offset=${index}&limit=1`;
    /** @type {Trace} */
    const { tokens } = await getJson(path);
    const [record] = tokens;
    if (record) this.#full.set(index, record);
    return record ?? null;
  }

  /** @param {number} numTokens Another answer to the same prompt, which begins with the first tokens of this one, weighed anew. */
  continued(numTokens) {
    const answer = new Answer(this.config);
    answer.numKept = numTokens;
    return answer;
  }

  /** The `fusion` field that begins an answer with the first tokens of this one. @param {number} numTokens */
  beginning(numTokens) {
    return numTokens > 0 ? { continue: this.tokens.slice(0, numTokens).map(({ token }) => token.id) } : {};
  }

  /** @param {Request} body */
  async start(body) {
    this.request = body;
    this.keepsFull = body.fusion.keep_trace === "full";
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
      this.error = reasonOf(error);
    }
    this.onchange();
  }

  stop() {
    return this.#cancel();
  }

  /** @param {TokenRecord[]} tokens */
  #add(tokens) {
    for (const record of tokens) {
      const { token } = record;
      this.tokens.push(record);
      this.tally.add(record);
      const bytes = token.bytes ? Uint8Array.from(token.bytes) : encoder.encode(token.text);
      this.texts.push(this.#decoder.decode(bytes, { stream: true }));
    }
  }
}
