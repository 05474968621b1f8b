import { afterAll, beforeAll, expect, it } from "vitest";
import { answer, startRealEngine, textRequest } from "../support/real-engine.js";
import { familyConfig, openGiant, taskRequests } from "../support/remote-bases.js";
import type { StandIn } from "../support/stand-in-base.js";
import { serveSglang } from "../support/stand-in-sglang.js";
import { serveVllm } from "../support/stand-in-vllm.js";

let giant: Awaited<ReturnType<typeof openGiant>>;
let sglang: StandIn;
let vllm: StandIn;

beforeAll(async () => {
  giant = await openGiant();
  sglang = await serveSglang(giant.standIn());
  vllm = await serveVllm(giant.standIn(), { maxLogprobs: 5 });
});

afterAll(async () => {
  await Promise.all([sglang.close(), vllm.close()]);
  await giant.close();
});

it("ends the one answer that the server does not serve; others go on", async () => {
  const base = { kind: "sglang", url: sglang.url, timeoutMs: 1_000 };
  const engine = await startRealEngine([familyConfig("headline", { base })]);
  try {
    const [bad, good] = taskRequests("headline", 2);
    const marked = giant.model.tokenize("QQQQ", false)[0]!;
    const request = {
      ...bad!,
      prompt: { type: "chat" as const, messages: [{ role: "user" as const, content: "QQQQ" }] },
    };
    sglang.fault = (_path, body) => ((body["input_ids"] as number[]).includes(marked) ? "drop" : null);
    const [failed, answered] = await Promise.allSettled([answer(engine, request), answer(engine, good!)]);
    expect(failed).toMatchObject({ status: "rejected", reason: { code: "base_unavailable" } });
    expect(answered).toMatchObject({ status: "fulfilled", value: { done: { finishReason: "stop" } } });
    sglang.fault = () => null;
    expect((await answer(engine, taskRequests("headline", 1)[0]!)).text).not.toBe("");
  } finally {
    sglang.fault = () => null;
    await engine.close();
  }
});

it("tells how far an answer may be off where the server gives too little", async () => {
  const base = { kind: "vllm", url: vllm.url, model: "giant", top: 5 };
  const engine = await startRealEngine([familyConfig("recall", { base, strategy: { type: "base" } })]);
  try {
    const request = textRequest("recall", "Once", {
      sampling: { ...textRequest("", "").sampling, temperature: 1 },
    });
    const { uncertified, unknown, tokens } = (await answer(engine, request)).done.usage.fusion;
    expect(uncertified).toBeGreaterThan(0);
    expect(uncertified).toBeLessThanOrEqual(tokens);
    expect(unknown).toBeGreaterThan(0);
    expect(unknown).toBeLessThanOrEqual(1);
  } finally {
    await engine.close();
  }
});

it("refuses a base of another vocabulary, and more entries than there are", async () => {
  const tokenizer = new URL("../data/starter/giant.gguf", import.meta.url).pathname;
  const strange = { kind: "sglang", url: sglang.url, tokenizer };
  await expect(startRealEngine([familyConfig("recall", { base: strange })])).rejects.toMatchObject({
    code: "vocabulary_mismatch",
  });
  const greedyBase = { kind: "vllm", url: vllm.url, model: "giant", top: 20 };
  await expect(startRealEngine([familyConfig("recall", { base: greedyBase })])).rejects.toMatchObject({
    code: "fusion_config_invalid",
    message: expect.stringMatching(/at most 5 entries/) as string,
  });
});
