import { expect, it } from "vitest";
import { z } from "zod";
import { parseRequest, unsupportedUnless } from "../../../src/api/parse.js";
import { readBody } from "../../../src/api/openai/read-body.js";
import { chatSchema, textSchema } from "../../../src/api/openai/schemas.js";
import { ShouldersError } from "../../../src/errors.js";

function errorOf(schema: z.ZodType, value: unknown): ShouldersError {
  try {
    parseRequest(schema, value);
  } catch (error) {
    if (error instanceof ShouldersError) return error;
  }
  throw new TypeError("no ShouldersError was thrown");
}

it("a field that is not honoured yet passes where it asks for nothing", () => {
  const schema = z.strictObject({ n: unsupportedUnless(z.int().min(1), (n) => n === 1, "send one") });
  for (const n of [1, null, undefined]) expect(parseRequest(schema, { n })).toEqual({ n });
  expect(errorOf(schema, { n: 2 })).toMatchObject({ code: "unsupported_field", param: "n" });
  expect(errorOf(schema, { n: 0 })).toMatchObject({ code: "invalid_request", param: "n" });
});

it("of very many unknown keys one is explained", () => {
  const body = Object.fromEntries(
    Array.from({ length: 50_000 }, (_, index) => [`${"k".repeat(90)}${index}`, 0]),
  );
  const whole = { model: "m", messages: [{ role: "user", content: "x" }], ...body };
  const error = errorOf(z.strictObject(chatSchema.shape), whole);
  expect(error.param).toBe("k".repeat(90) + "0");
  expect(() => readBody(chatSchema, whole)).toThrow("Invalid request: it has 50000 unknown fields.");
});

it("a param is never long", () => {
  expect(errorOf(z.strictObject({}), { ["k".repeat(1000)]: 1 }).param).toHaveLength(200);
});

it("the bodies can be written as JSON Schema, each field with its type", () => {
  for (const schema of [chatSchema, textSchema]) {
    const { properties } = z.toJSONSchema(schema, { io: "input" });
    expect(Object.keys(properties ?? {})).toEqual(Object.keys(schema.shape));
  }
});
