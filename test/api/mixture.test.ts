import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerationEvent } from "../../src/protocol/protocol.js";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { accepted, doneAfter, tokenOf } from "../support/fake-engine.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { metricOf, startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

const messages = [{ role: "user" as const, content: "What is the home town of Venur Gevol?" }];
const strategy = { type: "mixture" };

interface Answer {
  id: string;
  choices: { message: { content: string }; fusion: { tokens: TokenRecord[] } }[];
  usage: { fusion: { nats: number; flipped: number; tokens: number; skipped_share: number } };
  error?: { param: string; code: string };
}

describe("fields of a request", () => {
  const both = { model: "both", messages };

  it("reach the engine: over HTTP, WebSocket and in explanations", async () => {
    const server = await startTestServer();
    const fusion = {
      strategy: { ...strategy, floor: 0 },
      prior: { shares: { trivia: 0.5, base: 0.5 }, bias: { sums: -2 }, pinned: true },
      budget: { token_nats: 2 },
    };
    await server.post("/v1/chat/completions", { ...both, fusion });
    await server.post("/v1/fusion/explain", { ...both, completion: "x", fusion });
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { ...both, fusion } });
    await socket.until("response.done");
    expect(server.engine.submitted).toHaveLength(3);
    for (const request of server.engine.submitted)
      expect(request).toMatchObject({
        strategy: { type: "mixture", floor: 0, prior: "card", components: {} },
        prior: { shares: { trivia: 0.5, base: 0.5 }, bias: { sums: -2 }, isPinned: true },
        budget: { tokenNats: 2, replyNats: null },
      });
  });

  it.each<[string, object, string]>([
    ["an expert that is not there", { strategy, prior: { shares: { x: 1 } } }, "fusion.prior.shares"],
    ["a bias for none", { strategy, prior: { bias: { x: 1 } } }, "fusion.prior.bias"],
    ["no share at all", { strategy, prior: { shares: { trivia: 0, base: 0 } } }, "fusion.prior.shares"],
    ["a negative share", { strategy, prior: { shares: { trivia: -1 } } }, "fusion.prior.shares.trivia"],
    ["a prior without a mixture", { prior: { pinned: true } }, "fusion.prior"],
    [
      "a component of none",
      { strategy: { ...strategy, components: { x: {} } } },
      "fusion.strategy.components",
    ],
    ["a prior of none", { strategy: { ...strategy, prior: { x: 1 } } }, "fusion.strategy.prior"],
    ["a loss without a mixture", { loss: 0.1 }, "fusion.loss"],
    ["too much of a loss", { strategy, loss: 0.6 }, "fusion.loss"],
    ["a negative budget", { budget: { token_nats: -1 } }, "fusion.budget.token_nats"],
    [
      "a budget of the base alone",
      { strategy: { type: "base" }, budget: { reply_nats: 1 } },
      "fusion.budget",
    ],
    [
      "bounds where no weight is solved",
      { strategy: { ...strategy, components: { sums: { weight: 1 } } }, bounds: [0, 1] },
      "fusion.bounds",
    ],
    ["bounds of a weight that is not", { strategy, bounds: { trivia: [0, 1] } }, "fusion.bounds.trivia"],
    [
      "bounds of an expert by itself",
      { strategy: { ...strategy, components: { sums: { kind: "alone" } } }, bounds: { sums: [0, 1] } },
      "fusion.bounds",
    ],
    ["bounds of none", { strategy, bounds: { x: [0, 1] } }, "fusion.bounds"],
  ])("%s is refused by name", async (_name, fusion, param) => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", { ...both, fusion });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as Answer;
    expect(error?.param.startsWith(param), error?.param).toBe(true);
  });

  it("a loss reaches the engine; without one there is none", async () => {
    const server = await startTestServer();
    const lossFor = async (fusion: object) => {
      const { status } = await server.post("/v1/chat/completions", { ...both, fusion });
      return [status, server.engine.submitted.at(-1)?.loss];
    };
    expect(await lossFor({ strategy, loss: 0.01 })).toEqual([200, 0.01]);
    expect(await lossFor({ strategy })).toEqual([200, 0]);
    expect(await lossFor({ loss: 0 })).toEqual([200, 0]);
  });

  it("bounds reach the weights that a mixture solves: all of them, or by id", async () => {
    const server = await startTestServer();
    const boundsFor = async (fusion: object) => {
      const { status } = await server.post("/v1/chat/completions", { ...both, fusion });
      return [status, server.engine.submitted.at(-1)?.bounds];
    };
    expect(await boundsFor({ strategy, bounds: [0, 1] })).toEqual([200, { sums: [0, 1] }]);
    expect(await boundsFor({ strategy, bounds: { sums: [0, 1] } })).toEqual([200, { sums: [0, 1] }]);
    const solved = { ...strategy, components: { trivia: { weight: "solved" } } };
    expect(await boundsFor({ strategy: solved, bounds: [0, 1] })).toEqual([
      200,
      { trivia: [0, 1], sums: [0, 1] },
    ]);
  });

  it("a mixture of a model without experts is refused", async () => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", {
      model: "giant",
      messages,
      fusion: { strategy },
    });
    expect(((await response.json()) as Answer).error?.param).toBe("fusion.strategy");
  });
});

it("usage.fusion sums the choices; shares and contests are in records, CSV and metrics", async () => {
  const server = await startTestServer();
  const shares = { base: 0.2, trivia: 0.7, sums: 0.1 };
  const contested = { by: "trivia", token: { id: 9, text: "b", logprob: -0.5 }, against: "base" };
  server.engine.script = (): GenerationEvent[] => [
    accepted,
    { type: "delta", text: "a", tokens: [tokenOf("a", 0, { shares, contested, vouch: "nobody" })] },
    doneAfter(1),
  ];
  const response = await server.post("/v1/chat/completions", {
    model: "both",
    messages,
    n: 2,
    fusion: { trace: "weights" },
  });
  const { id, choices, usage } = (await response.json()) as Answer;
  expect(usage.fusion).toEqual({
    nats: 1,
    flipped: 2,
    tokens: 4,
    certain: 0,
    contested: 0,
    unvouched: 0,
    base_passes: 4,
    skipped_share: 0.25,
  });
  expect(choices[1]?.fusion.tokens[0]?.shares).toEqual(shares);
  const [header, line] = (
    await (await fetch(`${server.url}/v1/fusion/traces/${id}?format=csv`)).text()
  ).split("\r\n");
  const cell = (column: string) => line!.split(",")[header!.split(",").indexOf(column)];
  expect(cell("shares.trivia")).toBe("0.7");
  expect(["by", "token.text", "against"].map((part) => cell(`contested.${part}`))).toEqual([
    "trivia",
    "b",
    "base",
  ]);
  const name = 'shoulders_fusion_share_count{config="both",component="base"}';
  expect(await metricOf(server, name)).toBe(2);
  expect(await metricOf(server, 'shoulders_contested_tokens_total{config="both"}')).toBe(2);
  expect(await metricOf(server, 'shoulders_vouched_tokens_total{config="both",by="nobody"}')).toBe(2);
});

describe("on the models", () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealServer();
  });
  afterAll(() => server.close());

  async function ask(model: string, fusion: object = {}): Promise<Answer> {
    const body = { model, messages, temperature: 0, max_tokens: 12, fusion: { trace: "weights", ...fusion } };
    const response = await server.post("/v1/chat/completions", body);
    const answer = (await response.json()) as Answer;
    expect(response.status, JSON.stringify(answer)).toBe(200);
    return answer;
  }
  const contentOf = ({ choices }: Answer) => choices[0]!.message.content;

  it("shares follow the answer, add up to 1, and are pinned on request", async () => {
    const free = await ask("both", { strategy });
    const pinned = await ask("both", { strategy, prior: { shares: "uniform", pinned: true } });
    const sharesOf = (answer: Answer) => answer.choices[0]!.fusion.tokens.map(({ shares = {} }) => shares);
    for (const shares of [...sharesOf(free), ...sharesOf(pinned)]) {
      expect(Object.keys(shares).sort()).toEqual(["base", "sums", "trivia"]);
      expect(Object.values(shares).reduce((sum, share) => sum + share)).toBeCloseTo(1, 5);
    }
    for (const shares of sharesOf(pinned)) expect(shares["base"]).toBeCloseTo(1 / 3, 6);
    expect(sharesOf(free).at(-1)!["base"]).not.toBeCloseTo(1 / 3, 3);
  });

  it("bounds of a solved component hold its weight, and no other's", async () => {
    const components = { trivia: { weight: "solved", plausibility: null }, sums: { weight: 0.7 } };
    const solved = { ...strategy, components, floor: 0 };
    const weightsOf = ({ choices }: Answer) => choices[0]!.fusion.tokens.map(({ weights }) => weights);
    const free = weightsOf(await ask("both", { strategy: solved }));
    expect(free.some(({ trivia = 0 }) => trivia > 0.3)).toBe(true);
    for (const bounds of [[0.25, 0.3], { trivia: [0.25, 0.3] }])
      for (const { trivia, sums } of weightsOf(await ask("both", { strategy: solved, bounds }))) {
        expect(trivia).toBeGreaterThanOrEqual(0.25);
        expect(trivia).toBeLessThanOrEqual(0.3);
        expect(sums).toBeCloseTo(0.7, 6);
      }
  });

  it("a prior of the base alone, or no budget at all, leaves the base's own answer", async () => {
    const base = contentOf(await ask("giant"));
    expect(contentOf(await ask("both", { strategy, prior: { shares: { base: 1 } } }))).toBe(base);
    for (const budget of [{ token_nats: 0 }, { reply_nats: 0 }]) {
      const held = await ask("both", { strategy, budget });
      expect(contentOf(held)).toBe(base);
      expect(held.usage.fusion.nats).toBeCloseTo(0, 3);
    }
    const free = await ask("both", { weights: { trivia: 1 } });
    expect(contentOf(free)).not.toBe(base);
    expect(free.usage.fusion).toMatchObject({ tokens: free.choices[0]!.fusion.tokens.length });
    expect(free.usage.fusion.nats).toBeGreaterThan(0.5);
  });
});
