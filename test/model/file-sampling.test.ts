import { afterAll, beforeAll, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { readGguf, saveGguf, uint32Bytes } from "../support/gguf-editor.js";
import { starterModel } from "../support/llama.js";
import { located } from "../support/members.js";
import { startRealEngine } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** A base whose file says how its answers are drawn best. */

let folder: TemporaryDirectory;
let engine: Engine;

function float32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function configOf(id: string, base: string, sampling: object): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({ id, base, context: { tokens: 64, sequences: 1 }, sampling });
  return { config: { ...parsed, strategy: { type: "base" } }, members: located(parsed), card: null };
}

beforeAll(async () => {
  folder = temporaryDirectory();
  const [float32, int32] = [6, 5];
  const parts = readGguf(starterModel("giant"));
  const entries = [
    { key: "general.sampling.temp", type: float32, value: float32Bytes(0.6) },
    { key: "general.sampling.top_k", type: int32, value: uint32Bytes(20) },
    // Out of range.
    { key: "general.sampling.top_p", type: float32, value: float32Bytes(7) },
  ];
  const file = folder.file("said.gguf");
  saveGguf(file, { ...parts, entries: [...parts.entries, ...entries] });
  engine = await startRealEngine([
    configOf("file", file, {}),
    configOf("config", file, { temperature: 0 }),
    configOf("silent", starterModel("giant"), {}),
  ]);
});

afterAll(async () => {
  await engine.close();
  folder.remove();
});

it("is followed where the config says nothing", () => {
  const [file, config, silent] = engine.description!.configs;
  expect(file).toMatchObject({
    sampling: { temperature: 0.6, topK: 20, topP: 1, repeatPenalty: 1 },
    samplingOfFile: ["temperature", "topK"],
  });
  expect(config).toMatchObject({ sampling: { temperature: 0, topK: 20 }, samplingOfFile: ["topK"] });
  expect(silent).toMatchObject({ sampling: { temperature: 1, topK: 0 }, samplingOfFile: [] });
});
