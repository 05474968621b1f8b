import { describe, expect, it } from "vitest";
import type { GenerationRequest } from "../../src/protocol/protocol.js";
import type { VerdictAnswer } from "../../src/wire/verdict.js";
import { accepted, FakeEngine, Gate, type ScriptStep, tokenOf } from "../support/fake-engine.js";
import { metricOf, startTestServer, type TestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

const messages = [{ role: "user", content: "hi" }];
const codes = (text: string) => Array.from(text, (character) => character.charCodeAt(0));

/** What a given token is worth: the fusion prefers even codes, the base and its experts odd ones. */
function scored(request: GenerationRequest): ScriptStep[] {
  const given = request.forced?.type === "tokens" ? request.forced.tokens : [];
  const worth = (id: number, parity: number) => (id % 2 === parity ? -0.5 : -2);
  const tokens = given.map((id, index) => {
    const isBase = request.strategy?.type === "base";
    const token = tokenOf("x", index, { token: { id, text: "x" }, logprob: worth(id, isBase ? 1 : 0) });
    if (!request.wantsMembers) return token;
    // The expert "sums" does not run in the config's own fusion.
    const sums = request.strategy === null ? {} : { sums: -3 };
    return { ...token, members: { base: worth(id, 1), trivia: -1, ...sums } };
  });
  const { usage, ...done } = { ...doneOf(given.length) };
  return [accepted, { type: "delta", text: "x", tokens }, { ...done, usage }];
}

function doneOf(numTokens: number): Extract<ScriptStep, { type: "done" }> {
  const fusion = {
    nats: 0,
    flipped: 0,
    tokens: numTokens,
    certain: 0,
    contested: 0,
    unvouched: 0,
    basePasses: 1,
    drafts: 0,
  };
  return {
    ...{ type: "done", finishReason: "length", stopString: null, tokens: [], queueMs: 1, feature: null },
    usage: {
      ...{ promptTokens: 7, completionTokens: numTokens, cachedTokens: 0, reasoningTokens: 0 },
      fusion: {
        ...fusion,
        drafted: 0,
        accepted: 0,
        acceptedAt: [],
        lost: 0,
        uncertified: 0,
        unknown: 0,
        skippedShare: 0,
      },
    },
  };
}

/** Tokens are characters, and the template writes nothing around an answer. */
class CharacterEngine extends FakeEngine {
  override script = scored;

  override query(query: Parameters<FakeEngine["query"]>[0]): Promise<never> {
    const textOf = () =>
      query.type === "renderPrompt" && query.prompt.type === "chat"
        ? query.prompt.messages.map(({ content }) => content).join("|")
        : "text" in query
          ? query.text
          : "";
    const ids = codes(textOf());
    const result =
      query.type === "renderPrompt"
        ? { prompts: { base: { text: textOf(), tokens: ids } } }
        : { ids: Int32Array.from(ids) };
    return Promise.resolve(result as never);
  }
}

const start = () => startTestServer({ engine: new CharacterEngine() });

async function judge(server: TestServer, body: object): Promise<VerdictAnswer> {
  const response = await server.post("/v1/fusion/judge", { model: "both", messages, ...body });
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json()) as VerdictAnswer;
}

describe("POST /v1/fusion/judge", () => {
  it("says which candidate is likeliest, by every law that is asked", async () => {
    const server = await start();
    const answer = await judge(server, {
      candidates: ["bd", "ac"],
      laws: ["fused", "base", "expert:trivia"],
    });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^judge-/) as string,
      object: "fusion.verdict",
      model: "both",
      normalise: "sum",
      confidence: { alpha: 0, threshold: 0 },
      usage: { prompt_tokens: 7, completion_tokens: 6 },
    });
    const [verdict] = answer.verdicts;
    expect(verdict).toMatchObject({
      index: 0,
      verdict: 0,
      best: { fused: 0, base: 1, "expert:trivia": 0 },
      settled: false,
    });
    expect(verdict?.candidates[0]).toMatchObject({
      text: "bd",
      // What stands between prompt and answer is the template's.
      tokens: codes("|bd"),
      logprob: { fused: -1.5, base: -6 },
    });
    const [first, second] = verdict!.candidates;
    expect(first!.probability["fused"]).toBeCloseTo(1 / (1 + Math.exp(-3)), 5);
    expect(first!.verdict + second!.verdict).toBeCloseTo(1, 5);
    // One pass tells all: the expert runs in it.
    expect(server.engine.submitted).toHaveLength(2);
    expect(server.engine.submitted[0]).toMatchObject({
      forced: { type: "tokens", tokens: codes("|bd") },
      prompt: { type: "chat", messages, isThinking: false },
      ...{ maxTokens: null, logprobs: "unrestricted", wantsMembers: true, owner: "anonymous" },
    });
    expect(server.engine.submitted[0]?.prompt).toBe(server.engine.submitted[1]?.prompt);
  });

  it("asks experts that did not run once more, and only them", async () => {
    const server = await start();
    const answer = await judge(server, { candidates: ["b", "a"], laws: ["fused", "expert:sums"] });
    expect(answer.verdicts[0]?.candidates[0]?.logprob).toEqual({ fused: -1, "expert:sums": -6 });
    expect(server.engine.submitted.map(({ strategy }) => strategy?.type ?? null)).toEqual([
      null,
      null,
      "static",
      "static",
    ]);
    // The prompt counts once.
    expect(answer.usage.prompt_tokens).toBe(7);
    expect(
      await metricOf(server, 'shoulders_prompt_tokens_total{model="both",key="anonymous"}'),
    ).toBeLessThanOrEqual(7);
    const base = await judge(server, { candidates: ["b", "a"], laws: ["base"] });
    expect(server.engine.submitted.at(-1)?.strategy).toEqual({ type: "base" });
    expect(base.verdicts[0]?.verdict).toBe(1);
  });

  it("reads equal candidates once, and takes one alone", async () => {
    const server = await start();
    const twice = await judge(server, { candidates: ["b", "a", "b"] });
    const [one, , other] = twice.verdicts[0]!.candidates;
    expect(one!.verdict).toBe(other!.verdict);
    expect(server.engine.submitted).toHaveLength(2);
    const alone = await judge(server, { candidates: ["b"] });
    expect(alone.verdicts[0]).toMatchObject({ verdict: 0, agreement: 1, settled: true });
    expect(alone.verdicts[0]?.candidates[0]?.verdict).toBe(1);
  });

  it("means, and sums with the end of an answer", async () => {
    const server = await start();
    const mean = await judge(server, {
      prompt: "hi",
      messages: undefined,
      candidates: ["b", "bbbb"],
      normalise: "mean",
    });
    expect(mean.verdicts[0]?.candidates.map(({ verdict }) => verdict)).toEqual([0.5, 0.5]);
    // Behind a plain text a candidate stands as it is.
    expect(mean.verdicts[0]?.candidates[0]?.tokens).toEqual(codes("b"));
    const end = await judge(server, { candidates: ["b"], normalise: "end" });
    expect(end.verdicts[0]?.candidates[0]?.tokens).toEqual([...codes("|b"), 1]);
  });

  it("leans on the base as far as it is asked to", async () => {
    const server = await start();
    const body = { candidates: ["bd", "ac"] };
    const weak = await judge(server, { ...body, confidence: { alpha: 0 } });
    expect(weak.verdicts[0]?.verdict).toBe(0);
    const whole = await judge(server, { ...body, confidence: { alpha: 1, threshold: 0 } });
    expect(whole.verdicts[0]?.verdict).toBe(1);
    expect(whole.verdicts[0]?.best).toEqual({ fused: 0, base: 1 });
    expect(whole.verdicts[0]?.candidates.map(({ verdict }) => verdict)).toEqual([0, 1]);
    const unsure = await judge(server, { ...body, confidence: { alpha: 1, threshold: 0.99 } });
    expect(unsure.verdicts[0]?.verdict).toBe(0);
  });

  it("leans as the calibration card says, unless the request does", async () => {
    const server = await start();
    for (const config of server.engine.description!.configs) config.confidence = { alpha: 1, threshold: 0 };
    const byCard = await judge(server, { candidates: ["bd", "ac"] });
    expect(byCard).toMatchObject({ confidence: { alpha: 1, threshold: 0 }, verdicts: [{ verdict: 1 }] });
    const asked = await judge(server, { candidates: ["bd", "ac"], confidence: { alpha: 0 } });
    expect(asked.verdicts[0]?.verdict).toBe(0);
  });

  it("tells labels apart, in the words of a template", async () => {
    const server = await start();
    const answer = await judge(server, { labels: ["spam", "ham"], template: "It is {label}." });
    expect(answer.verdicts[0]?.candidates).toMatchObject([
      { label: "spam", text: "It is spam." },
      { label: "ham", text: "It is ham." },
    ]);
  });

  it("judges many prompts in one call, some at a time, in their order", async () => {
    const server = await start();
    const prompts = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0 ? { messages } : { prompt: `p${index}` },
    );
    const answer = await judge(server, { messages: undefined, prompts, candidates: ["b", "a", "c", "d"] });
    expect(answer.verdicts.map(({ index }) => index)).toEqual(prompts.map((_, index) => index));
    expect(server.engine.submitted).toHaveLength(160);
    expect(new Set(server.engine.submitted.map(({ requestId }) => requestId)).size).toBe(160);
    expect(answer.usage.prompt_tokens).toBe(7 * 40);
  });

  it("refuses what it cannot judge, and names the field", async () => {
    const server = await start();
    const plain = { model: "both", messages, candidates: ["x", "y"] };
    for (const [change, param] of [
      [{ candidates: undefined }, "candidates"],
      [{ candidates: [] }, "candidates"],
      [{ candidates: ["x", ""] }, "candidates.1"],
      [{ candidates: Array.from({ length: 65 }, String) }, "candidates"],
      [{ labels: ["x"] }, "candidates"],
      [{ template: "{label}" }, "template"],
      [{ candidates: undefined, labels: ["x"], template: "no place" }, "template"],
      [{ messages: undefined }, "messages"],
      [{ prompt: "x" }, "messages"],
      [{ messages: undefined, prompts: [{}] }, "prompts.0.messages"],
      [{ messages: undefined, prompts: [{ prompt: "x" }, { prompt: [980] }] }, "prompts.1.prompt"],
      [
        {
          messages: undefined,
          prompts: Array.from({ length: 256 }, () => ({ prompt: "x" })),
          candidates: Array.from({ length: 64 }, (_, index) => `${index} ${"long ".repeat(60)}`),
        },
        "prompts",
      ],
      [{ laws: ["best"] }, "laws.0"],
      [{ laws: ["fused", "expert:x"] }, "laws.1"],
      [{ laws: ["base", "base"] }, "laws.1"],
      [{ normalise: "max" }, "normalise"],
      [{ confidence: { alpha: 2 } }, "confidence.alpha"],
      [{ fusion: { weights: { x: 1 } } }, "fusion.weights"],
      [{ temperature: 1 }, "temperature"],
    ] as const) {
      const response = await server.post("/v1/fusion/judge", { ...plain, ...change });
      expect(response.status, JSON.stringify(change)).toBe(400);
      const { error } = (await response.json()) as { error: { param: string } };
      expect(error.param, JSON.stringify(change)).toBe(param);
    }
    expect(server.engine.submitted).toEqual([]);
  });

  it("ends with the client, and all candidates when one fails", async () => {
    const server = await start();
    const gate = new Gate();
    server.engine.script = (request) => [accepted, gate, ...scored(request)];
    const leaving = new AbortController();
    const body = { model: "both", messages, candidates: ["a", "b", "c"] };
    const left = expect(server.post("/v1/fusion/judge", body, { signal: leaving.signal })).rejects.toThrow();
    await server.engine.untilSubmitted(3);
    leaving.abort();
    await server.engine.untilCancelled(3);
    await left;
  });
});

describe("a verdict over WebSocket", () => {
  const create = {
    type: "verdict.create",
    verdict: { id: "v1", model: "both", messages, candidates: ["b", "a"] },
  };

  it("is the same", async () => {
    const server = await start();
    const socket = await connect(server.url);
    socket.send(create);
    const { response_id, status, verdict } = await socket.until("verdict.done");
    expect({ response_id, status }).toEqual({ response_id: "v1", status: "completed" });
    const plain = await judge(server, { candidates: ["b", "a"] });
    expect(verdict?.verdicts).toEqual(plain.verdicts);
  });

  it("is cancelled as a response is", async () => {
    const server = await start();
    const gate = new Gate();
    server.engine.script = (request) => [accepted, gate, ...scored(request)];
    const socket = await connect(server.url);
    socket.send(create);
    await server.engine.untilSubmitted(2);
    socket.send({ type: "response.cancel", response_id: "v1" });
    expect(await socket.until("verdict.done")).toEqual({
      type: "verdict.done",
      response_id: "v1",
      status: "cancelled",
    });
    await server.engine.untilCancelled(2);
  });

  it("is refused, and fails, with the names of its own fields", async () => {
    const server = await start();
    const socket = await connect(server.url);
    socket.send({ ...create, event_id: "e", verdict: { ...create.verdict, laws: ["expert:x"] } });
    const refused = await socket.until("error");
    expect(refused.error).toMatchObject({ param: "verdict.laws.0", event_id: "e" });
    server.engine.script = () => {
      throw new TypeError("broken");
    };
    socket.send(create);
    expect(await socket.until("verdict.done")).toMatchObject({
      status: "failed",
      error: { code: "internal" },
    });
  });
});
