import { getLlama } from "node-llama-cpp";
import { expect, it, onTestFinished } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { writeAdapter } from "../support/lora.js";
import { located } from "../support/members.js";
import { answer, modelPath, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { expectSameButTies } from "../support/ties.js";
import { realModels, realPath, requests } from "./models.js";

const [chatting] = realModels.filter(({ chats }) => chats);
const numTokens = 8;

it.runIf(chatting)(
  "a base that is its own reference, with an adapter at weight 1, is the adapted model",
  async () => {
    const file = modelPath(realPath(chatting!.file));
    const folder = temporaryDirectory();
    onTestFinished(() => folder.remove());
    const adapter = folder.file("adapter.gguf");
    // Enough to change what is said; width 576 as in the file.
    const width = 576;
    let state = 1;
    const random = () => ((state = Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
    const change = [12, 13, 14, 15].map((layer) => ({
      name: `blk.${layer}.attn_q.weight`,
      columns: width,
      rows: width,
      values: Float32Array.from({ length: width * width }, () => 0.4 * random()),
    }));
    writeAdapter(adapter, change, { alpha: 16 });

    const parsed = fusionConfigSchema.parse({
      id: "adapted",
      base: file,
      reference: file,
      experts: [{ id: "own", adapter }],
      strategy: { type: "static", weights: { own: 1 }, plausibility: null },
      context: { tokens: 512, sequences: 1 },
    });
    const config: ResolvedFusionConfig = {
      config: { ...parsed, strategy: parsed.strategy! },
      members: located(parsed),
      card: null,
    };
    const plain = fusionConfigSchema.parse({ id: "plain", base: file, context: parsed.context });
    const engine = await startRealEngine([
      config,
      { config: { ...plain, strategy: { type: "base" } }, members: located(plain), card: null },
    ]);
    onTestFinished(() => engine.close());
    const library = await getLlama({ gpu: false });
    onTestFinished(() => library.dispose());
    const model = await library.loadModel({ modelPath: file });
    const context = await model.createContext({
      ...{ contextSize: 512, threads: 1, flashAttention: true },
      lora: { adapters: [{ filePath: adapter, scale: 1 }] },
    });
    const sequence = context.getSequence();
    let numChanged = 0;
    for (const content of requests.slice(0, 10)) {
      const prompt = `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`;
      const options = { maxTokens: numTokens, topLogprobs: 3, speculation: "off" } as const;
      const fused = await answer(engine, textRequest("adapted", prompt, options));
      const ids: number[] = [];
      await sequence.clearHistory();
      const tokens = model.tokenize(prompt, true);
      for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
        ids.push(token);
        if (ids.length === fused.ids.length) break;
      }
      // Base and reference cancel out, but for the rounding of their sum.
      expectSameButTies(fused, { ...fused, ids }, content, 0.01);
      const alone = await answer(engine, textRequest("plain", prompt, options));
      if (alone.text !== fused.text) numChanged++;
    }
    expect(numChanged).toBeGreaterThan(5);
  },
  240_000,
);
