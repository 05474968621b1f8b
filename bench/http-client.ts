import { Agent, request } from "node:http";

/** A connection a request: servers differ in how long they keep one that is idle, and close it just when it is used. */
const agent = new Agent({ keepAlive: false });

export interface StreamResult {
  status: number;
  /** From the request to the first chunk that brings text. */
  firstTokenMs: number;
  /** To the end of the stream. */
  totalMs: number;
  /** As the server counts them. */
  completionTokens: number;
  /** Of the prompt, found in the cache; null where the server does not say. */
  cachedTokens: number | null;
  wasAborted: boolean;
}

export interface StreamOptions {
  /** Hang up after so many ms. */
  abortAfterMs?: number;
}

interface Chunk {
  choices?: { text?: string }[];
  usage?: { completion_tokens: number; prompt_tokens_details?: { cached_tokens: number } } | null;
}

/** Posts a legacy completion and reads its stream, or its error, to the end. */
export function streamCompletion(
  url: string,
  body: object,
  options: StreamOptions = {},
): Promise<StreamResult> {
  return post(
    url,
    JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    options,
  );
}

/** Posts any text to `/v1/completions`. */
export function post(url: string, text: string, { abortAfterMs }: StreamOptions = {}): Promise<StreamResult> {
  const startMs = performance.now();
  const result: StreamResult = {
    status: 0,
    firstTokenMs: NaN,
    totalMs: NaN,
    completionTokens: 0,
    cachedTokens: null,
    wasAborted: false,
  };
  const read = (line: string) => {
    if (!line.startsWith("data: {")) return;
    const { choices = [], usage } = JSON.parse(line.slice("data: ".length)) as Chunk;
    if (Number.isNaN(result.firstTokenMs) && (choices[0]?.text ?? "") !== "")
      result.firstTokenMs = performance.now() - startMs;
    if (!usage) return;
    result.completionTokens = usage.completion_tokens;
    result.cachedTokens = usage.prompt_tokens_details?.cached_tokens ?? null;
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/completions`, {
      method: "POST",
      agent,
      headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) },
    });
    const patience =
      abortAfterMs === undefined
        ? null
        : setTimeout(() => {
            result.wasAborted = true;
            sent.destroy();
          }, abortAfterMs);
    const settle = (error: Error | null) => {
      if (patience) clearTimeout(patience);
      result.totalMs = performance.now() - startMs;
      if (error && !result.wasAborted) reject(error);
      else resolve(result);
    };
    sent.on("error", settle);
    sent.on("response", (response) => {
      result.status = response.statusCode ?? 0;
      let rest = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        const lines = (rest + part).split("\n");
        rest = lines.pop() ?? "";
        lines.forEach(read);
      });
      response.on("end", () => settle(null));
      response.on("error", settle);
    });
    sent.end(text);
  });
}

/** One sample of `/metrics` by name and labels as printed; 0 where it is not there. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** Runs a task until all are done, `concurrency` at a time. */
export async function inParallel(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
