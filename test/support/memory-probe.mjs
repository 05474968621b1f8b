// Runs the engine in this process (started with --expose-gc) and prints how much 1,000 fused tokens leave behind.
import path from "node:path";
import { mapRoles, membersOf } from "../../dist/config/members.js";
import { FusionEngine } from "../../dist/engine/engine.js";
import { plainRequest } from "../../dist/protocol/protocol.js";
import { loadModels } from "../../dist/engine/loaded-models.js";
import { createKernel } from "../../dist/fusion/kernel/kernel.js";
import { openLibrary } from "../../dist/llama/library.js";

const model = (name) => path.resolve(import.meta.dirname, "../data/starter", `${name}.gguf`);
const source = (name) => ({ model: model(name), gpuLayers: "auto" });
const sampling = {
  temperature: 1,
  topK: 40,
  topP: 0.95,
  minP: 0,
  typicalP: 1,
  repeatPenalty: 1.1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};
const config = {
  id: "both",
  description: "",
  base: source("giant"),
  reference: source("dwarf"),
  experts: ["trivia", "sums"].map((id) => ({ id, model: source(`dwarf-${id}`), bounds: [0, 2] })),
  strategy: { type: "dynamic", solver: "exact", plausibility: null },
  context: { tokens: 512, sequences: 8 },
  sampling,
  fewShot: [],
};
const resolved = {
  config,
  members: mapRoles(membersOf(config), (member) => ({ ...member, path: member.source.model })),
  card: null,
};
const limits = { maxWaiting: 100, maxWaitingTokens: 100_000, queueTimeoutMs: 600_000, cacheSequences: 4 };

const library = await openLibrary({ backend: "cpu" });
const models = await loadModels(
  library,
  [resolved],
  { threads: 1, batchTokens: 256, ...limits },
  () => undefined,
);
const size = models.slots[0].model.vocabulary.size;
let numTokens = 0;
const ended = new Map();
const engine = new FusionEngine({
  models,
  kernel: createKernel("simd", { vocabularySize: size, numExperts: 2 }),
  createSamplerChain: (options) => library.createSamplerChain(options, size),
  together: { single: true, batch: true },
  curves: {},
  untilFree: () => null,
  limits,
  onBroken: () => process.exit(1),
  log: console,
  emit: (message) => {
    if (message.type === "failed") throw new Error(message.error.message);
    if (message.type !== "events") return;
    for (const { requestId, event } of message.events)
      if (event.type === "done") {
        numTokens += event.usage.completionTokens;
        ended.get(requestId)();
      }
  },
});

async function generate(count) {
  numTokens = 0;
  for (let round = 0; numTokens < count; round++)
    await Promise.all(
      Array.from({ length: 4 }, (_, index) => {
        const requestId = `${count}-${round}-${index}`;
        return new Promise((resolve) => {
          ended.set(requestId, () => {
            ended.delete(requestId);
            resolve();
          });
          engine.submit({
            ...plainRequest,
            requestId,
            configId: "both",
            prompt: { type: "text", text: `The birth year of ${index}` },
            maxTokens: 50,
            stop: ["###"],
            sampling,
            seed: round,
            topLogprobs: 5,
            trace: "full",
          });
        });
      }),
    );
  return numTokens;
}

async function used() {
  // Native finalizers run after a turn of the loop, and may free what a second collection finds.
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { heapUsed, external, arrayBuffers };
}

await generate(1_500);
const before = await used();
const tokens = await generate(1_000);
const after = await used();
const growth = Object.fromEntries(Object.keys(before).map((key) => [key, after[key] - before[key]]));
await engine.close();
await models[Symbol.asyncDispose]();
await library[Symbol.asyncDispose]();
console.log(JSON.stringify({ tokens, growth }));
