import { afterAll, beforeAll, expect, it } from "vitest";
import { answer, questions, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import type { Engine, GenerationRequest } from "../../src/protocol/protocol.js";

/** What records say of their tokens, held against the answer's sums and against each other, over every strategy. */

let engine: Engine;
beforeAll(async () => {
  const family = { base: "giant", reference: "dwarf" };
  engine = await startRealEngine([
    resolvedConfig({ id: "both", ...family, experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" } }),
  ]);
});
afterAll(async () => engine.close());

const prompts = [...questions("recall").slice(0, 4), ...questions("sums").slice(0, 4)].map(
  ({ prompt }) => prompt,
);
const gated = { ratio: 0.1, of: "gated" } as const;
const component = (weight: number) => ({ kind: "fused", weight, plausibility: gated }) as const;
type Case = [name: string, request: Partial<GenerationRequest>, decisions: string[]];

const strategies: Case[] = [
  ["base", { strategy: { type: "base" } }, ["base"]],
  [
    "static",
    { strategy: { type: "static", weights: { trivia: 1 }, plausibility: null } },
    ["base", "weight"],
  ],
  [
    "static over a set",
    { strategy: { type: "static", weights: { trivia: 0.5 }, plausibility: { ratio: 0.1, of: "expert" } } },
    ["certain", "plausible_set"],
  ],
  ["dynamic", { strategy: { type: "dynamic", solver: "exact", plausibility: null } }, ["base", "weight"]],
  [
    "mixture",
    {
      strategy: {
        ...{ type: "mixture", prior: { trivia: 0.5, sums: 0.5 }, floor: 0.001 },
        components: { trivia: component(1), sums: component(1) },
      },
    },
    ["certain", "plausible_set"],
  ],
  ["a grammar", { strategy: { type: "base" }, grammar: 'root ::= " "? [xyz]{3,9}' }, ["grammar"]],
];

it.each(strategies)("%s", async (_name, request, decisions) => {
  const answers = await Promise.all(
    prompts.map((text) =>
      answer(
        engine,
        textRequest("both", text, { maxTokens: 24, trace: "weights", audit: "rows", ...request }),
      ),
    ),
  );
  const records = answers.flatMap(({ tokens }) => tokens.map(({ record }) => record));
  // What was moved at each token adds up to what was moved in the answer; records are rounded.
  for (const { tokens, done } of answers) {
    const sum = tokens.reduce((nats, { record }) => nats + (record.nats ?? NaN), 0);
    expect(Math.abs(sum - done.usage.fusion.nats)).toBeLessThan(1e-3 + 1e-3 * sum);
    expect(tokens.filter(({ record }) => record.flipped)).toHaveLength(done.usage.fusion.flipped);
  }
  for (const { decided_by, flipped, nats, log_ratio, token, base_token } of records) {
    if (decided_by === "base") expect(flipped).toBe(false);
    if (decided_by === "weight" || decided_by === "plausible_set") expect(flipped).toBe(true);
    // The draws are greedy: a token that only the row decided is the base's own where it was not flipped.
    if (decided_by !== "grammar") expect(token.id === base_token!.id).toBe(!flipped);
    expect(nats).toBeGreaterThanOrEqual(0);
    if (decided_by === "certain" && flipped === false) expect(log_ratio).toBeGreaterThanOrEqual(0);
  }
  const seen = new Set<string>(records.map(({ decided_by }) => decided_by));
  for (const decision of decisions) expect([...seen]).toContain(decision);
  if (request.strategy?.type === "base") expect(records.every(({ nats }) => nats === 0)).toBe(true);
});
