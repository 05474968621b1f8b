import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../../src/errors.js";
import { ElectingEngine } from "../../../src/engine/electing-engine.js";
import type { GenerationRequest, ResolvedFusionConfig } from "../../../src/protocol/protocol.js";
import { defaultStrategy } from "../../../src/strategies/registry.js";
import { deltaOf, doneAfter, FakeEngine, Gate, tokenOf } from "../../support/fake-engine.js";
import { fakeCard } from "../../support/fake-card.js";
import { resolvedConfig, textRequest } from "../../support/real-engine.js";
import { silentLogger } from "../../support/silent-logger.js";

const ids = ["trivia", "sums"];
const row = new Float32Array([1, 2, 3]);
const experts = { trivia: "dwarf-trivia", sums: "dwarf-sums" };

/** What each expert's beginning is like: nats from the reference, ln p of its tokens. */
type Beginnings = Record<string, [distance: number, logprob: number]>;
const prompt = "How many apples?";
const usual: Beginnings = { trivia: [4, -1], sums: [1, -1] };

let numConfigs = 0;
/** A config of its own each time: what was measured of another is kept for it. */
function configOf(changes: Partial<ResolvedFusionConfig> = {}): ResolvedFusionConfig {
  const strategy = defaultStrategy(ids.map((id) => ({ id })));
  const config = resolvedConfig({ id: "both", base: "giant", reference: "dwarf", experts, strategy });
  config.config.context.tokens += ++numConfigs;
  return { ...config, ...changes };
}

function engineOf(
  config: ResolvedFusionConfig,
  found: Beginnings = { trivia: [5, -1], sums: [2, -1] },
  elsewhere: Beginnings = usual,
) {
  const fake = new FakeEngine();
  fake.script = ({ strategy, prompt: asked }) => {
    const [expert = ""] = strategy?.type === "mixture" ? Object.keys(strategy.prior) : [];
    const isOurs = asked.type === "text" && asked.text === prompt;
    const [forward, logprob] = (isOurs ? found : elsewhere)[expert] ?? [0, 0];
    const divergence = { forward: 0, reverse: 0, targets: { [expert]: { forward, reverse: 0 } } };
    const token = tokenOf("a", 0, { logprob, divergence });
    return [{ ...deltaOf("a"), tokens: [token] } as never, doneAfter(1, "length")];
  };
  return { fake, engine: new ElectingEngine(fake, { configs: [config], log: silentLogger }) };
}

async function ask(
  engine: ElectingEngine,
  changes: Partial<GenerationRequest> = {},
  signal = new AbortController().signal,
): Promise<void> {
  const { strategy = null, ...rest } = changes;
  for await (const event of engine.generate({ ...textRequest("both", prompt), strategy, ...rest }, signal))
    expect(event).toBeDefined();
}

const last = (fake: FakeEngine) => fake.submitted.at(-1)!;

describe("an election", () => {
  it("gives all shares to the expert that is farther from the reference than it usually is", async () => {
    const { fake, engine } = engineOf(configOf());
    await ask(engine);
    // 5 of the usual 4 nats, and 2 of 1.
    expect(last(fake).prior).toEqual({ shares: { sums: 1 }, bias: {}, isPinned: false });
  });

  it("doubts an expert that is not sure of what it says", async () => {
    const { fake, engine } = engineOf(configOf(), { trivia: [5, -1], sums: [2, -2] });
    await ask(engine);
    expect(last(fake).prior?.shares).toEqual({ trivia: 1 });
  });

  it("is not won by an expert that says what the reference says, however sure", async () => {
    const { fake, engine } = engineOf(configOf(), { trivia: [0.1, -3], sums: [0, 0] });
    await ask(engine);
    expect(last(fake).prior?.shares).toEqual({ trivia: 1 });
  });

  it("is held once in each form of prompts, and not at all among experts that were all tuned hard", async () => {
    const hard: Beginnings = { trivia: [8, -1], sums: [5, -1] };
    const { fake, engine } = engineOf(configOf(), { trivia: [5, -1], sums: [9, -1] }, hard);
    await ask(engine);
    expect(last(fake).prior?.shares).toEqual({ trivia: 1, sums: 1 });
    const numFirst = fake.submitted.length;
    expect(fake.submitted[0]?.prompt.type).toBe("text");
    await ask(engine, { prompt: { type: "chat", messages: [{ role: "user", content: "Hello?" }] } });
    expect(fake.submitted.length).toBe(2 * numFirst);
    const one: Beginnings = { trivia: [8, -1], sums: [1, -1] };
    const other = engineOf(configOf(), { trivia: [9, -1], sums: [2, -1] }, one);
    await ask(other.engine);
    expect(last(other.fake).prior?.shares).toEqual({ sums: 1 });
  });

  it("is held once for a prompt, and what is usual is measured once for a config, also by a later engine", async () => {
    const config = configOf();
    const { fake, engine } = engineOf(config);
    await ask(engine);
    const numFirst = fake.submitted.length;
    expect(numFirst).toBeGreaterThan(50);
    await ask(engine);
    expect(fake.submitted).toHaveLength(numFirst + 1);
    await ask(engine, { owner: "another" });
    // Two requests for each expert's beginning, and the answer.
    expect(fake.submitted).toHaveLength(numFirst + 6);
    const later = engineOf(config);
    await ask(later.engine);
    expect(later.fake.submitted).toHaveLength(5);
  });

  it("keeps what else a request says of its shares", async () => {
    const { fake, engine } = engineOf(configOf());
    await ask(engine, { prior: { shares: null, bias: { trivia: 1 }, isPinned: true } });
    expect(last(fake).prior).toEqual({ shares: { sums: 1 }, bias: { trivia: 1 }, isPinned: true });
  });

  it.each<[string, Partial<ResolvedFusionConfig>, Partial<GenerationRequest>]>([
    ["a card knows", { card: fakeCard({ trivia: row, sums: row }) }, {}],
    ["the request has shares", {}, { prior: { shares: { sums: 1 }, bias: {}, isPinned: false } }],
    [
      "equal shares are wanted",
      {},
      { strategy: { ...defaultStrategy([{ id: "a" }, { id: "b" }]), prior: "uniform" } as never },
    ],
    ["experts are weighed otherwise", {}, { strategy: { type: "base" } }],
  ])("is not needed where %s", async (_, changes, request) => {
    const { fake, engine } = engineOf(configOf(changes));
    await ask(engine, request);
    expect(fake.submitted).toHaveLength(1);
  });

  it("that cannot be held leaves the request as it is", async () => {
    const { fake, engine } = engineOf(configOf());
    const { script } = fake;
    fake.script = (request) =>
      request.strategy === null
        ? script(request)
        : [new ShouldersError("context_length_exceeded", "It is full.")];
    await ask(engine);
    expect(last(fake)).toMatchObject({ strategy: null, prior: null });
  });

  it("that was given up with its request decides for no other", async () => {
    const { fake, engine } = engineOf(configOf());
    await ask(engine, { owner: "somebody" });
    const gate = new Gate();
    const { script } = fake;
    fake.script = (request) => [gate, ...script(request)];
    const leaving = new AbortController();
    const left = ask(engine, {}, leaving.signal);
    await expect.poll(() => fake.stats.running).toBeGreaterThan(0);
    leaving.abort();
    await left;
    fake.script = script;
    const before = fake.submitted.length;
    await ask(engine);
    expect(fake.submitted).toHaveLength(before + 5);
    expect(last(fake).prior?.shares).toEqual({ sums: 1 });
  });
});
