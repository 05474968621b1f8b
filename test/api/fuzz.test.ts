import fc from "fast-check";
import { expect, test } from "vitest";
import { chatSchema, textSchema } from "../../src/api/openai/schemas.js";
import { startTestServer } from "../support/server.js";

/** Bodies drawn around the valid ones: fields wrong, missing, null, huge, unknown. Only 200 or 4xx may answer. */

const oddNumbers = [-1, -0, 0, 0.5, 1, 2, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, Number.NaN, 1e-320];
const oddValue = fc.oneof(
  fc.constantFrom<unknown>(...oddNumbers, "NaN", true, false, null, "", "x", [], {}, [[]], [null]),
  fc.constantFrom<unknown>("\ud800", "\u0000", "a".repeat(5000), { __proto__: null }, { type: "text" }),
  fc.jsonValue({ maxDepth: 3 }),
);

const bodyOf = (base: object, names: string[]) =>
  fc
    .tuple(
      fc.dictionary(fc.constantFrom(...names), oddValue, { maxKeys: 3 }),
      fc.option(fc.dictionary(fc.string(), oddValue, { maxKeys: 1 }), { nil: {}, freq: 4 }),
      fc.constantFrom<string | null>(...Object.keys(base), null, null, null),
    )
    .map(([fields, unknown, missing]) => {
      const body: Record<string, unknown> = { ...base, ...fields, ...unknown };
      return Object.fromEntries(Object.entries(body).filter(([name]) => name !== missing));
    });

const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const text = { model: "both", prompt: "hi" };
const message = fc.record(
  {
    role: fc.oneof(fc.constantFrom("user", "system", "tool"), oddValue),
    content: fc.oneof(fc.string(), fc.array(fc.record({ type: oddValue, text: oddValue })), oddValue),
  },
  { requiredKeys: [] },
);
const fusion = fc.record(
  {
    strategy: fc.oneof(
      fc.record(
        { type: fc.constantFrom("base", "static", "dynamic"), weights: oddValue, solver: oddValue },
        { requiredKeys: [] },
      ),
      oddValue,
    ),
    weights: fc.oneof(
      fc.dictionary(fc.constantFrom("trivia", "sums", "x", "__proto__"), fc.double()),
      oddValue,
    ),
    bounds: fc.oneof(fc.tuple(fc.double(), fc.double()), oddValue),
    trace: fc.oneof(fc.constantFrom("off", "weights", "full"), oddValue),
    logprobs: oddValue,
  },
  { requiredKeys: [] },
);

const requests = fc.oneof(
  bodyOf(chat, Object.keys(chatSchema.shape)).map((body) => ["/v1/chat/completions", body] as const),
  bodyOf(text, Object.keys(textSchema.shape)).map((body) => ["/v1/completions", body] as const),
  fc
    .array(message, { maxLength: 3 })
    .map((messages) => ["/chat/completions", { ...chat, messages }] as const),
  fusion.map((value) => ["/completions", { ...text, fusion: value }] as const),
  oddValue.map((body) => ["/v1/completions", body] as const),
);

test("whatever is asked, the answer is 200 or 4xx with an error that a client can read", async () => {
  const server = await startTestServer();
  await fc.assert(
    fc.asyncProperty(requests, async ([path, body]) => {
      const response = await server.post(path, JSON.stringify(body));
      const answer = await response.text();
      if (response.status === 200) return;
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(response.status).toBeLessThan(500);
      const { error } = JSON.parse(answer) as { error: { message: string; type: string; code: string } };
      expect(error.message.length).toBeGreaterThan(10);
      expect(error.message.length).toBeLessThan(2000);
      expect([error.type, typeof error.code]).toEqual(["invalid_request_error", "string"]);
    }),
    { numRuns: 1500 },
  );
  expect((await server.post("/v1/chat/completions", chat)).status).toBe(200);
});

test("bytes that are no JSON at all are 400", async () => {
  const server = await startTestServer();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const response = await server.post("/v1/chat/completions", "", { body: new Uint8Array(bytes) });
      await response.text();
      expect(response.status).toBe(400);
    }),
    { numRuns: 200 },
  );
});
