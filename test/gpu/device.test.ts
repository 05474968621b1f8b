import type { Member } from "../../src/config/members.js";
import { located } from "../support/members.js";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadFusionConfigs } from "../../src/config/load.js";
import { cardOf } from "../../src/routing/match-card.js";
import type { Engine, GenerationRequest, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { startOnDevice, taskItems, useSoftwareDevice } from "../support/gpu.js";
import { type Answer, answer, root, textRequest } from "../support/real-engine.js";
import { expectSameButTies } from "../support/ties.js";

/**
 * The shipped fusion configs on a GPU backend, Mesa's software device through Vulkan: every layer, every cell and every
 * row goes through the device as it would on a card, only slower.
 */

useSoftwareDevice();

/** The shipped configs, with their cards. */
function shippedConfigs(): ResolvedFusionConfig[] {
  return loadFusionConfigs(path.join(root, "fusion-configs")).map(({ file, config }) => {
    const pathOf = ({ source }: Member) => path.resolve(path.dirname(file), source.model);
    const found = { config, members: located(config, pathOf) };
    return { ...found, card: cardOf(file, found) };
  });
}

const configs = shippedConfigs();
const tasks = ["recall", "problems", "headline", "choice"] as const;

const ask = (configId: string, content: string, options: Partial<GenerationRequest> = {}) =>
  textRequest(configId, "", {
    prompt: { type: "chat", messages: [{ role: "user", content }] },
    topLogprobs: 2,
    // A prompt, a guessed block and what follows it; the software device takes its time for each more.
    maxTokens: 5,
    ...options,
  });

/** Each task's config answers `count` of its items, and each of the other configs one. */
function requestsFor(count: number): { name: string; request: () => GenerationRequest }[] {
  const own = tasks.flatMap((task) => taskItems(root, task, count).map((item) => ({ config: task, item })));
  const others = configs
    .map(({ config }) => config.id)
    .filter((id) => !(tasks as readonly string[]).includes(id));
  const shared = others.flatMap((config, index) =>
    taskItems(root, tasks[index % tasks.length]!, 1).map((item) => ({ config, item })),
  );
  return [...own, ...shared].map(({ config, item }) => {
    const content = item.messages[0]!.content;
    return { name: `${config}: ${content}`, request: () => ask(config, content) };
  });
}

describe("the shipped configs on the device", () => {
  let onDevice: Engine;
  let onProcessor: Engine;

  beforeAll(async () => {
    onDevice = (await startOnDevice(configs, { settings: { cacheSequences: 8 } })).engine;
    onProcessor = (await startOnDevice(configs, { settings: { backend: "cpu" } })).engine;
  }, 300_000);

  afterAll(async () => {
    await onDevice.close();
    await onProcessor.close();
  });

  it("lie there, whole", () => {
    const { library, configs: described } = onDevice.description!;
    expect(library.backend).toBe("vulkan");
    for (const { base, reference, experts } of described)
      for (const model of [base, ...(reference ? [reference] : []), ...experts])
        expect(model.gpuLayers, model.id).toBeGreaterThan(3);
    for (const { base } of onProcessor.description!.configs) expect(base.gpuLayers).toBe(0);
  });

  it("answer as on the processor, but for ties, on 8 items a task", async () => {
    const asked = requestsFor(8);
    const all = (engine: Engine) => Promise.all(asked.map(({ request }) => answer(engine, request())));
    const [expected, found] = [await all(onProcessor), await all(onDevice)];
    const same = asked.filter(({ name }, index) =>
      expectSameButTies(expected[index] as Answer, found[index] as Answer, name),
    );
    expect(same.length).toBeGreaterThanOrEqual(0.95 * asked.length);
  }, 600_000);

  it("answer eight at once as the processor does one by one, but for ties", async () => {
    const contents = taskItems(root, "recall", 8).map(({ messages }) => messages[0]!.content);
    const together = await Promise.all(contents.map((content) => answer(onDevice, ask("recall", content))));
    for (const [index, content] of contents.entries())
      expectSameButTies(
        await answer(onProcessor, ask("recall", content)),
        together[index] as Answer,
        content,
      );
  }, 120_000);

  it("share the cells of a prompt that was read before", async () => {
    const content = taskItems(root, "problems", 21)[20]!.messages[0]!.content;
    const fresh = await answer(onDevice, ask("problems", content));
    const again = await answer(onDevice, ask("problems", content));
    expect(fresh.done.usage.cachedTokens).toBeLessThan(again.done.usage.cachedTokens);
    expect(again.done.usage.cachedTokens).toBeGreaterThan(again.done.usage.promptTokens / 2);
    expectSameButTies(fresh, again, content);
  });

  it("are left by a request that is cancelled, and its neighbour goes on", async () => {
    const content = taskItems(root, "recall", 1)[0]!.messages[0]!.content;
    const neighbour = answer(onDevice, ask("recall", content));
    const abort = new AbortController();
    let numTokens = 0;
    for await (const event of onDevice.generate(ask("giant", content, { maxTokens: 400 }), abort.signal)) {
      if (event.type !== "delta") continue;
      numTokens += event.tokens.length;
      abort.abort();
    }
    expect(numTokens).toBeLessThan(400);
    expectSameButTies(await answer(onProcessor, ask("recall", content)), await neighbour, content);
    await expect.poll(() => onDevice.stats.running).toBe(0);
  });

  it("come back on the device after their engine is killed in the middle of an answer", async () => {
    const content = taskItems(root, "choice", 1)[0]!.messages[0]!.content;
    const before = await answer(onDevice, ask("choice", content));
    const { pid } = onDevice.description!;
    const running = answer(onDevice, ask("giant", content, { maxTokens: 400 }));
    await expect.poll(() => onDevice.stats.running).toBe(1);
    process.kill(pid, "SIGKILL");
    await expect(running).rejects.toMatchObject({ code: "engine_died" });
    await expect.poll(() => onDevice.description?.pid ?? pid, { timeout: 100_000 }).not.toBe(pid);
    expect(onDevice.description!.library.backend).toBe("vulkan");
    expectSameButTies(before, await answer(onDevice, ask("choice", content)), content);
  }, 150_000);
});
