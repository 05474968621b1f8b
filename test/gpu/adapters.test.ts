import { afterAll, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { startOnDevice, useSoftwareDevice } from "../support/gpu.js";
import { starterModel } from "../support/llama.js";
import { changeOf, writeAdapter } from "../support/lora.js";
import { located } from "../support/members.js";
import { answer, questions, textRequest } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { expectSameButTies } from "../support/ties.js";

/** An adapter on a GPU backend: its matrices lie on the device beside the reference's. */

useSoftwareDevice();
const folder = temporaryDirectory();
afterAll(() => folder.remove());

function config(): ResolvedFusionConfig {
  const adapter = folder.file("trivia-lora.gguf");
  writeAdapter(adapter, changeOf(starterModel("dwarf"), starterModel("dwarf-trivia")), { alpha: 16 });
  const parsed = fusionConfigSchema.parse({
    id: "adapter",
    base: starterModel("giant"),
    reference: starterModel("dwarf"),
    experts: [{ id: "trivia", adapter }],
    strategy: { type: "static", weights: { trivia: 1 }, plausibility: null },
    context: { tokens: 128, sequences: 2 },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

it("answers as on the processor, but for ties", async () => {
  const adapted = config();
  const { engine: onDevice } = await startOnDevice([adapted]);
  const { engine: onProcessor } = await startOnDevice([adapted], { settings: { backend: "cpu" } });
  try {
    expect(onDevice.description!.library.backend).toBe("vulkan");
    expect(onDevice.description!.configs[0]!.experts[0]!.adapter).toMatchObject({ scale: 1 });
    let numSame = 0;
    for (const { prompt } of questions("recall").slice(0, 3)) {
      const request = () => textRequest("adapter", prompt, { topLogprobs: 3, maxTokens: 4 });
      const [expected, found] = [await answer(onProcessor, request()), await answer(onDevice, request())];
      if (expectSameButTies(expected, found, prompt)) numSame++;
    }
    expect(numSame).toBeGreaterThanOrEqual(2);
  } finally {
    await onDevice.close();
    await onProcessor.close();
  }
}, 300_000);
