import { afterEach, describe, expect, it } from "vitest";
import { ShouldersError } from "../../../src/errors.js";
import { SglangServer } from "../../../src/rows/sglang.js";
import type { RowEntries } from "../../../src/rows/partial-row.js";
import type { RowServer, SequenceReply } from "../../../src/rows/types.js";
import { VllmServer } from "../../../src/rows/vllm.js";
import { serveStandIn, type Fault, type StandIn } from "../../support/stand-in-base.js";

/** Three tokens of a vocabulary of four, and what a server may do in the place of an answer. */
const logprobs = [Math.log(0.5), Math.log(0.3), Math.log(0.15)];

const vllmAnswer = (body: Record<string, unknown>) => ({
  choices: (body["prompt"] as number[][]).map((_, index) => ({
    index,
    logprobs: {
      top_logprobs: [Object.fromEntries(logprobs.map((logprob, token) => [`token_id:${token}`, logprob]))],
    },
  })),
});

const sglangRow = logprobs.map((logprob, token) => [logprob, token, null]);
const sglangAnswer = (body: Record<string, unknown>) => {
  const numInner = (body["input_ids"] as number[]).length - (body["logprob_start_len"] as number) - 1;
  return {
    meta_info: {
      input_top_logprobs: [null, ...Array.from({ length: numInner }, () => sglangRow)],
      output_top_logprobs: [sglangRow],
    },
  };
};

const wanted = (tokens: number[], ...positions: number[]) => ({
  sequenceId: 0,
  tokens,
  rows: positions.map((position) => ({ position, wish: { top: 3, ids: [] } })),
});

let standIn: StandIn;
let server: RowServer;
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await standIn.close();
});

const kinds = {
  vllm: {
    answer: vllmAnswer,
    open: (options: ConstructorParameters<typeof VllmServer>[0]) => new VllmServer(options),
  },
  sglang: {
    answer: sglangAnswer,
    open: (options: ConstructorParameters<typeof SglangServer>[0]) => new SglangServer(options),
  },
};

describe.each(["vllm", "sglang"] as const)("%s", (kind) => {
  /** @param faults of the requests in their order; then it answers. */
  async function ask(faults: Fault[], timeoutMs = 3_000): Promise<SequenceReply> {
    const { answer, open } = kinds[kind];
    standIn = await serveStandIn((_path, body) => Promise.resolve({ status: 200, body: answer(body) }));
    standIn.fault = () => faults.shift() ?? null;
    server = open({
      ...{ name: kind, url: standIn.url, apiKey: null, timeoutMs, model: "m", top: 3 },
    });
    const [reply] = await server.fetch([wanted([1, 2, 3], 1, 2)]);
    return reply!;
  }

  it("asks for the rows of a block in one request", async () => {
    const reply = await ask([]);
    expect(reply).toHaveLength(2);
    expect(standIn.asked).toHaveLength(1);
    for (const row of reply as RowEntries[]) {
      expect([...row.known.keys()]).toEqual([0, 1, 2]);
      expect(row.cap).toBeCloseTo(Math.log(0.15), 6);
    }
    expect(server.stats).toMatchObject({ requests: 1, retries: 0, failures: 0, roundTrips: 1 });
    expect(server.stats.bytesReceived).toBeGreaterThan(50);
  });

  it("tries again after 429, 5xx, a lost connection", async () => {
    const reply = await ask([{ status: 429 }, { status: 503 }, "drop", { status: 500 }], 10_000);
    expect(reply).toHaveLength(2);
    expect(server.stats).toMatchObject({ requests: 5, retries: 4, failures: 0 });
  });

  it("waits as long as the server says", async () => {
    const startMs = performance.now();
    await ask([{ status: 429, retryAfter: "1" }], 10_000);
    expect(performance.now() - startMs).toBeGreaterThan(990);
  });

  it.each([
    ["dead", Array<Fault>(100).fill("drop"), /cannot be reached|does not answer in time/],
    ["silent", ["hang"] satisfies Fault[], /does not answer in time/],
    ["garbled", ["garble"] satisfies Fault[], /no JSON/],
    ["unwilling", [{ status: 400 }] satisfies Fault[], /refused .* with 400: "overloaded"/],
    ["strange", [{ status: 302 }] satisfies Fault[], /refused .* with 302/],
  ])("ends the sequence of a %s server in time", async (_name, faults, message) => {
    const startMs = performance.now();
    const reply = await ask([...faults], 400);
    expect(reply).toBeInstanceOf(ShouldersError);
    expect((reply as ShouldersError).code).toBe("base_unavailable");
    expect((reply as ShouldersError).message).toMatch(message);
    expect(performance.now() - startMs).toBeLessThan(2_000);
    expect(server.stats.failures).toBe(1);
  });
});

it("tells a server that names tokens by their texts", async () => {
  const answer = { choices: [{ index: 0, logprobs: { top_logprobs: [{ " the": -1 }] } }] };
  standIn = await serveStandIn(() => Promise.resolve({ status: 200, body: answer }));
  server = new VllmServer({
    ...{ name: "old", url: standIn.url, apiKey: null, timeoutMs: 500, model: "m", top: 1 },
  });
  const [reply] = await server.fetch([wanted([1], 0)]);
  expect((reply as ShouldersError).message).toMatch(/version is too old/);
});

it("never takes the one entry too many of vLLM for the least of the best", async () => {
  // Asked for two, it gives the one that was drawn beside: the least of all.
  standIn = await serveStandIn((_path, body) => Promise.resolve({ status: 200, body: vllmAnswer(body) }));
  server = new VllmServer({
    ...{ name: "vllm", url: standIn.url, apiKey: null, timeoutMs: 500, model: "m", top: 2 },
  });
  const one = { sequenceId: 0, tokens: [1], rows: [{ position: 0, wish: { top: 2, ids: [] } }] };
  const [reply] = await server.fetch([one]);
  const [row] = reply as RowEntries[];
  expect(row!.known.size).toBe(3);
  expect(row!.cap).toBeCloseTo(Math.log(0.3), 6);
});

it("leaves it to the next request with a row to tell tokens that want none", async () => {
  standIn = await serveStandIn((_path, body) => Promise.resolve({ status: 200, body: sglangAnswer(body) }));
  server = new SglangServer({
    ...{ name: "sglang", url: standIn.url, apiKey: null, timeoutMs: 500, model: undefined, top: 3 },
  });
  expect(await server.fetch([{ sequenceId: 0, tokens: [1, 2], rows: [] }])).toEqual([[]]);
  expect(standIn.asked).toHaveLength(0);
  expect(server.stats.roundTrips).toBe(0);
});
