import { located } from "../../support/members.js";
import { copyFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import type { Card } from "../../../src/routing/card.js";
import { fusionConfigSchema } from "../../../src/config/fusion-config.js";
import { configDigester } from "../../../src/engine/config-digest.js";
import type { ResolvedFusionConfig } from "../../../src/protocol/protocol.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const directory = temporaryDirectory();
afterAll(() => directory.remove());

const fileOf = (name: string, content = name) => {
  const path = directory.file(name);
  writeFileSync(path, content);
  return path;
};
const expert = (id: string, rest: object = {}) => ({ id, model: `${id}.gguf`, ...rest });

interface Rest {
  card?: Card;
  /** Role or expert id to another file. */
  files?: Record<string, string>;
}

function resolved(fields: object = {}, { card, files }: Rest = {}): ResolvedFusionConfig {
  const config = fusionConfigSchema.parse({
    id: "c",
    base: "base.gguf",
    reference: "reference.gguf",
    experts: [expert("a"), expert("b")],
    strategy: { type: "dynamic" },
    ...fields,
  });
  return {
    config: { ...config, strategy: config.strategy! },
    members: located(config, ({ id }) => files?.[id] ?? fileOf(id)),
    card: card ?? null,
  };
}

const digest = (config: ResolvedFusionConfig) => configDigester()(config);

it("what changes an answer changes the digest, each in its own way", () => {
  const mixture = { type: "mixture" };
  const variants: [string, ResolvedFusionConfig][] = [
    ["nothing", resolved()],
    ["budget", resolved({ experts: [expert("a", { budget: 1 }), expert("b")] })],
    ["bounds", resolved({ experts: [expert("a", { bounds: [0, 1] }), expert("b")] })],
    ["fewShot", resolved({ fewShot: [{ user: "1", assistant: "2" }] })],
    ["plausibility", resolved({ strategy: { type: "dynamic", plausibility: { ratio: 0.1, of: "joint" } } })],
    ["solver", resolved({ strategy: { type: "dynamic", solver: "grid" } })],
    ["strategy", resolved({ strategy: mixture })],
    ["floor", resolved({ strategy: { ...mixture, floor: 0.2 } })],
    ["card", resolved({}, { card: { vocabularySize: 3 } as Card })],
    ["sampling", resolved({ sampling: { temperature: 0.5 } })],
    ["context", resolved({ context: { tokens: 64 } })],
    ["gpuLayers", resolved({ base: { model: "base.gguf", gpuLayers: 2 } })],
    ["base file", resolved({}, { files: { base: fileOf("base-2") } })],
    ["reference file", resolved({}, { files: { reference: fileOf("reference-2") } })],
    ["expert file", resolved({}, { files: { b: fileOf("b-2") } })],
    ["experts' ids", resolved({ experts: [expert("b"), expert("a")] })],
  ];
  const digests = variants.map(([, config]) => digest(config));
  const repeated = digests.flatMap((one, index) =>
    digests.indexOf(one) < index ? [variants[index]?.[0]] : [],
  );
  expect(repeated).toEqual([]);
});

it("names, and where the files lie, do not", () => {
  const moved = directory.file("elsewhere.gguf");
  const before = resolved();
  copyFileSync(before.members.base.path, moved);
  const named = { id: "other", description: "Another name.", example: "What?", base: "elsewhere.gguf" };
  expect(digest(resolved(named, { files: { base: moved } }))).toBe(digest(before));
});
