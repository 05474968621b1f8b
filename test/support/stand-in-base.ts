import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { commonPrefix } from "../../src/engine/prefix.js";
import type { LoadedModel, ModelContext } from "../../src/llama/types.js";

/** What stand-ins of other servers have in common: a real model behind them, and HTTP in front. */

/** The rows of a real model, as log-probabilities. One asks after the other. */
export class StandInBase {
  readonly model: LoadedModel;
  readonly #context: ModelContext;
  /** What sequence 0 holds. */
  #held: number[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(model: LoadedModel, context: ModelContext) {
    this.model = model;
    this.#context = context;
  }

  /** ln p of every token, after the tokens at these places. */
  rows(tokens: readonly number[], positions: readonly number[]): Promise<Float32Array[]> {
    const result = this.#last.then(() => this.#rows(tokens, positions));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #rows(tokens: readonly number[], positions: readonly number[]): Promise<Float32Array[]> {
    // What rows are wanted of is decoded anew.
    const kept = Math.min(commonPrefix(this.#held, tokens), Math.min(...positions));
    this.#context.removePositions(0, kept, null);
    this.#held = [...tokens];
    const rows: Float32Array[] = [];
    const { batch } = this.#context;
    for (let from = kept; from < tokens.length; from += batch.capacity) {
      batch.clear();
      const numbers: number[] = [];
      const end = Math.min(tokens.length, from + batch.capacity);
      for (let at = from; at < end; at++) {
        const number = batch.add(tokens[at]!, at, 0, positions.includes(at));
        if (number >= 0) numbers.push(number);
      }
      await this.#context.decode();
      for (const number of numbers) rows.push(logSoftmax(this.#context.logits(number)));
    }
    return rows;
  }
}

export function logSoftmax(row: Float32Array): Float32Array {
  const best = row.reduce((most, logit) => Math.max(most, logit), -Infinity);
  let sum = 0;
  for (const logit of row) sum += Math.exp(logit - best);
  const logSum = best + Math.log(sum);
  return row.map((logit) => logit - logSum);
}

/** The best entries, best first. */
export function best(row: Float32Array, count: number): [token: number, logprob: number][] {
  const order = [...row.keys()].sort((a, b) => row[b]! - row[a]!);
  return order.slice(0, count).map((token) => [token, row[token]!]);
}

/** A token by its probability, where `random` is from [0, 1). */
export function draw(row: Float32Array, random: number): number {
  let left = random;
  for (let token = 0; token < row.length; token++) {
    left -= Math.exp(row[token]!);
    if (left < 0) return token;
  }
  return row.length - 1;
}

export interface Answer {
  status: number;
  body: unknown;
}

/** What a stand-in does in the place of its answer: null: it answers. */
export type Fault = "drop" | "hang" | "garble" | { status: number; retryAfter?: string } | null;

export interface StandIn {
  url: string;
  /** Bodies of the requests that came, by path. */
  readonly asked: { path: string; body: Record<string, unknown> }[];
  /** Asked before each answer. */
  fault: (path: string, body: Record<string, unknown>) => Fault;
  close(): Promise<void>;
}

/** Serves JSON on a free port. */
export async function serveStandIn(
  answer: (path: string, body: Record<string, unknown>, request: IncomingMessage) => Promise<Answer>,
): Promise<StandIn> {
  const asked: StandIn["asked"] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
    const path = request.url ?? "";
    asked.push({ path, body });
    const fault = standIn.fault(path, body);
    if (fault === "drop") {
      request.socket.destroy();
      return;
    }
    if (fault === "hang") return;
    if (fault !== null && typeof fault === "object") {
      const headers = fault.retryAfter === undefined ? {} : { "Retry-After": fault.retryAfter };
      response.writeHead(fault.status, headers).end("overloaded");
      return;
    }
    const { status, body: told } = await answer(path, body, request);
    const whole = JSON.stringify(told);
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(fault === "garble" ? whole.slice(0, whole.length / 2) : whole);
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const standIn: StandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    fault: () => null,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return standIn;
}
