import type { z } from "zod";
import { systemCode } from "../errors.js";
import { PassingFault, persist, unavailable } from "./persist.js";
import type { RemoteStats } from "./types.js";

/** Answers that may be others a moment later. */
const passingStatuses = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Characters of a server's own words that are repeated. */
const longestReason = 300;

export interface HttpClientOptions {
  name: string;
  url: string;
  apiKey: string | null;
  timeoutMs: number;
  stats: RemoteStats;
}

/** A server refused what was asked, and will again. */
export interface Refusal {
  status: number;
  body: string;
}

/** Asks one server for JSON. Node keeps the connections. */
export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #closing = new AbortController();

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /**
   * @param body null: nothing is sent, by GET.
   * @returns what it answers, once that is of this shape.
   * @throws ShouldersError `base_unavailable`
   */
  async request<Shape extends z.ZodType>(
    path: string,
    body: object | null,
    shape: Shape,
  ): Promise<z.output<Shape>> {
    const answer = await this.ask(path, body);
    if ("status" in answer)
      throw unavailable(this.#options.name, `refused ${path} with ${answer.status}: ${wordsOf(answer.body)}`);
    return this.read(path, answer.text, shape);
  }

  /** The same; a refusal is told instead of thrown. */
  async ask(path: string, body: object | null): Promise<{ text: string } | Refusal> {
    const { name, timeoutMs, stats } = this.#options;
    const text = body && JSON.stringify(body);
    return persist(
      name,
      timeoutMs,
      (leftMs) => this.#attempt(path, text, leftMs),
      () => stats.retries++,
    );
  }

  /** @throws ShouldersError `base_unavailable` for a text of another shape. */
  read<Shape extends z.ZodType>(path: string, text: string, shape: Shape): z.output<Shape> {
    const { name } = this.#options;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw unavailable(name, `answered ${path} with what is no JSON: ${wordsOf(text)}`);
    }
    const parsed = shape.safeParse(value);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw unavailable(
      name,
      `answered ${path} in a way that is not known: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
    );
  }

  async #attempt(path: string, body: string | null, leftMs: number): Promise<{ text: string } | Refusal> {
    const { url, apiKey, stats } = this.#options;
    stats.requests++;
    stats.bytesSent += Buffer.byteLength(body ?? "");
    try {
      const response = await fetch(url + path, {
        method: body === null ? "GET" : "POST",
        headers: {
          ...(body !== null && { "Content-Type": "application/json" }),
          ...(apiKey !== null && { Authorization: `Bearer ${apiKey}` }),
        },
        body,
        redirect: "manual",
        signal: AbortSignal.any([AbortSignal.timeout(leftMs), this.#closing.signal]),
      });
      const text = await response.text();
      stats.bytesReceived += Buffer.byteLength(text);
      if (response.ok) return { text };
      if (!passingStatuses.has(response.status)) return { status: response.status, body: text };
      const seconds = Number(response.headers.get("retry-after") ?? "");
      throw new PassingFault(
        `answers ${response.status}: ${wordsOf(text)}`,
        Number.isFinite(seconds) ? 1000 * seconds : null,
      );
    } catch (thrown) {
      const reason = reasonOf(thrown);
      if (reason === null) throw thrown;
      throw new PassingFault(reason);
    }
  }

  /** Ends what is in flight. */
  close(): void {
    this.#closing.abort();
  }
}

/** Why nothing came; null: that is no fault of the network. */
function reasonOf(thrown: unknown): string | null {
  if (!(thrown instanceof Error)) return null;
  if (thrown.name === "TimeoutError" || thrown.name === "AbortError") return "does not answer in time";
  // What `fetch` makes of every fault below it.
  const { cause } = thrown;
  return cause instanceof Error ? `cannot be reached (${systemCode(cause) ?? cause.message})` : null;
}

function wordsOf(text: string): string {
  const words = text.trim().slice(0, longestReason);
  return words === "" ? "without a word" : JSON.stringify(words);
}
