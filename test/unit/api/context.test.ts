import { expect, it } from "vitest";
import { findConfig } from "../../../src/api/context.js";
import type { EngineDescription } from "../../../src/protocol/description.js";

it("a config whose engine starts again is not unknown, but to be asked for again", () => {
  const description = { configs: [{ id: "a" }], restarting: ["b"] } as EngineDescription;
  expect(findConfig(description, "a").id).toBe("a");
  expect(() => findConfig(description, "b")).toThrow(expect.objectContaining({ code: "engine_not_ready" }));
  expect(() => findConfig(description, "c")).toThrow(expect.objectContaining({ code: "model_not_found" }));
});
