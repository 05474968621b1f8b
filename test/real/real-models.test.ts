import { getLlama, type LlamaContextSequence, type LlamaModel } from "node-llama-cpp";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { isValid } from "../support/json-schemas.js";
import { answer, resolvedConfig, root, startRealEngine, textRequest } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { expectSameButTies } from "../support/ties.js";
import { realModels, realPath, requests } from "./models.js";

/** The engine on models that others trained, against node-llama-cpp's own evaluation of the same files. */

const numTokens = 8;

describe.each(realModels)("$id", ({ id, file, vocabularySize, chats, unlike }) => {
  let configs: ResolvedFusionConfig[];
  let server: RealServer;
  let model: LlamaModel;
  let sequence: LlamaContextSequence;
  let closeLibrary: () => Promise<void>;
  beforeAll(async () => {
    const config = { context: { tokens: 1024, sequences: 8 } };
    configs = [resolvedConfig({ id, base: realPath(file), config })];
    server = await serveConfigs(configs);
    const library = await getLlama({ gpu: false });
    model = await library.loadModel({ modelPath: path.join(root, "models/real", file) });
    sequence = (
      await model.createContext({ contextSize: 1024, threads: 1, flashAttention: true })
    ).getSequence();
    closeLibrary = () => library.dispose();
  });
  afterAll(async () => {
    await closeLibrary();
    await server.close();
  });

  /** What is asked, as the model's own template writes it. */
  async function promptOf(content: string): Promise<string> {
    if (!chats) return content;
    const response = await server.post("/apply-template", {
      model: id,
      messages: [{ role: "user", content }],
    });
    return ((await response.json()) as { prompt: string }).prompt;
  }
  const greedy = (text: string, engine: Engine = server.engine) =>
    answer(engine, textRequest(id, text, { maxTokens: numTokens, topLogprobs: 3, speculation: "off" }));

  it("says greedily what node-llama-cpp says, on 50 prompts", async () => {
    // Each prompt in cells of its own, in their order, as there.
    const engine = await startRealEngine(configs);
    onTestFinished(() => engine.close());
    let same = 0;
    for (const content of requests) {
      const prompt = await promptOf(content);
      const ours = await greedy(prompt, engine);
      const ids: number[] = [];
      await sequence.clearHistory();
      const { bos, shouldPrependBosToken } = model.tokens;
      const tokens = model.tokenize(prompt, true);
      if (shouldPrependBosToken && tokens[0] !== bos) tokens.unshift(bos!);
      for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
        ids.push(token);
        if (ids.length === ours.ids.length) break;
      }
      if (expectSameButTies(ours, { ...ours, ids }, content, unlike.batches)) same += 1;
    }
    expect(same).toBeGreaterThanOrEqual((unlike.batches < 0.1 ? 1 : 0.8) * requests.length);
  }, 240_000);

  it("eight at once say what each says alone", async () => {
    const prompts = await Promise.all(requests.slice(0, 8).map(promptOf));
    const together = await Promise.all(prompts.map((prompt) => greedy(prompt)));
    for (const [index, prompt] of prompts.entries())
      expectSameButTies(await greedy(prompt), together[index]!, prompt, unlike.cells);
  });

  it("reads and writes tokens as node-llama-cpp does", async () => {
    for (const text of [
      "Hello world",
      " 3 spaces   and\ttab\n\nlines",
      "ünïcödé 😀 汉字 नमस्ते",
      "it's 12,345.67 e-mails",
      "",
    ]) {
      const response = await server.post("/tokenize", { content: text, add_special: false });
      const { tokens } = (await response.json()) as { tokens: number[] };
      expect(tokens, text).toEqual(model.tokenize(text, false));
      const back = await server.post("/detokenize", { tokens });
      expect(((await back.json()) as { content: string }).content.trimStart()).toBe(text.trimStart());
    }
  });

  it("goes on from a prompt that it has read", async () => {
    const prompt = `${"The king of the hill lived in a house of stone. ".repeat(12)}The king of the hill lived in a`;
    const body = { model: id, prompt, max_tokens: 3, temperature: 0 };
    const first = await server.client.completions.create(body);
    const again = await server.client.completions.create(body);
    expect(again.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(100);
    expect(again.choices[0]!.text).toBe(first.choices[0]!.text);
    expect(again.choices[0]!.text).toBe(" house of stone");
  });

  it("gives log-probabilities of its own vocabulary", async () => {
    const { tokens } = await greedy("The capital of France is");
    for (const { topLogprobs } of tokens) {
      expect(topLogprobs[0]!.logprob).toBeLessThanOrEqual(0);
      expect(topLogprobs.every((entry) => entry.id < vocabularySize)).toBe(true);
      expect(topLogprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(
        1.0001,
      );
    }
  });

  it("answers in JSON by a schema", async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 }, large: { type: "boolean" } },
      required: ["city", "large"],
      additionalProperties: false,
    };
    const response_format = {
      type: "json_schema",
      json_schema: { name: "town", schema, strict: true },
    } as const;
    const messages = [{ role: "user" as const, content: "A town in Italy, as JSON." }];
    const body = { model: id, messages, temperature: 0, max_tokens: 60, response_format };
    const { choices } = await server.client.chat.completions.create(body);
    expect(choices[0]!.finish_reason).toBe("stop");
    expect(isValid(schema, choices[0]!.message.content!)).toBe(true);
  });

  it.runIf(chats)("streams a chat that knows how long a week is", async () => {
    const messages = [{ role: "user" as const, content: "How many days are in a week?" }];
    const body = { model: id, messages, temperature: 0, max_tokens: 40 };
    let text = "";
    let finish: string | null = null;
    for await (const { choices } of await server.client.chat.completions.create({ ...body, stream: true })) {
      text += choices[0]?.delta.content ?? "";
      finish = choices[0]?.finish_reason ?? finish;
    }
    expect(text).toContain("7 days");
    expect(text).not.toContain("<|");
    expect(finish).toBe("stop");
    const whole = await server.client.chat.completions.create(body);
    expect(whole.choices[0]!.message.content).toContain("7 days");
  });

  it.runIf(chats)("calls a tool", async () => {
    const parameters = {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 } },
      required: ["city"],
    };
    const tool = {
      type: "function" as const,
      function: { name: "weather", description: "Tells the weather", parameters },
    };
    const messages = [{ role: "user" as const, content: "How is the weather in Rome?" }];
    const body = {
      model: id,
      messages,
      temperature: 0,
      tools: [tool],
      tool_choice: "required" as const,
      parallel_tool_calls: false,
    };
    const { choices } = await server.client.chat.completions.create(body);
    expect(choices[0]!.finish_reason).toBe("tool_calls");
    const call = choices[0]!.message.tool_calls![0]!;
    if (call.type !== "function") throw new Error("not a function's call");
    expect(call.function.name).toBe("weather");
    expect(isValid(parameters, call.function.arguments)).toBe(true);
  });
});
