import { describe, expect, it, onTestFinished } from "vitest";
import { type LoadedFusionConfig, parseFusionConfig } from "../../../src/config/load.js";
import { ModelRouter } from "../../../src/engine/router.js";
import type { RouterOptions } from "../../../src/engine/router-parts.js";
import { ShouldersError } from "../../../src/errors.js";
import {
  plainRequest,
  type GenerationEvent,
  type GenerationRequest,
} from "../../../src/protocol/protocol.js";
import { samplingSchema } from "../../../src/config/fusion-config.js";
import { answering, describeEngine, FakeEngine, Gate } from "../../support/fake-engine.js";
import { silentLogger } from "../../support/silent-logger.js";

const configOf = (id: string, description = "", servers: string[] = []): LoadedFusionConfig => {
  const base = servers.length === 0 ? `${id}.gguf` : { model: `${id}.gguf`, rpc: { servers } };
  return parseFusionConfig(JSON.stringify({ id, base, description }), `${id}.json`);
};

/** An engine that has loaded configs of 100 bytes each, and says in its answers which. */
class TestEngine extends FakeEngine {
  isClosed = false;
  readonly configs: readonly LoadedFusionConfig[];

  constructor(configs: readonly LoadedFusionConfig[]) {
    super();
    this.configs = configs;
    const description = describeEngine();
    const [template] = description.configs;
    const [place] = description.memory;
    const buffers = { weights: 100 * configs.length, cells: 0, compute: 0, rows: 0 };
    this.description = {
      ...description,
      configs: configs.map(({ config }) => ({
        ...template!,
        id: config.id,
        description: config.description,
      })),
      memory: [{ ...place!, buffers: { ...place!.buffers, ...buffers }, programBytes: 0 }],
    };
    this.script = () => answering(configs.map(({ config }) => `${config.id}${config.description}`).join("+"));
  }

  override close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

interface Routed {
  router: ModelRouter;
  /** All that were ever opened. */
  engines: TestEngine[];
  open: () => TestEngine[];
  /** Most bytes of open engines at any time. */
  most: () => number;
}

function routed(ids: readonly string[], options: Partial<RouterOptions> = {}): Routed {
  const engines: TestEngine[] = [];
  const open = () => engines.filter(({ isClosed }) => !isClosed);
  let most = 0;
  const router = new ModelRouter({
    open: (configs) => {
      const engine = new TestEngine(configs);
      engines.push(engine);
      most = Math.max(
        most,
        open().reduce((sum, one) => sum + 100 * one.configs.length, 0),
      );
      return Promise.resolve(engine);
    },
    plan: (configs) => Promise.resolve(100 * configs.length),
    reload: () => Promise.resolve([]),
    log: silentLogger,
    memoryBytes: 0,
    idleMs: 0,
    waitMs: 10_000,
    pinned: [],
    ...options,
  });
  router.know(ids.map((id) => configOf(id)));
  router.started();
  onTestFinished(() => router.close());
  return { router, engines, open, most: () => most };
}

let numRequests = 0;
const requestOf = (configId: string): GenerationRequest => ({
  ...plainRequest,
  owner: "",
  party: "",
  requestId: `r${++numRequests}`,
  configId,
  prompt: { type: "text", text: "?" },
  sampling: samplingSchema.parse({}),
});

async function ask(router: ModelRouter, id: string): Promise<string> {
  let text = "";
  const events: AsyncIterable<GenerationEvent> = router.generate(requestOf(id), new AbortController().signal);
  for await (const event of events) if (event.type === "delta") text += event.text;
  return text;
}

const statusOf = (router: ModelRouter): Record<string, string> =>
  Object.fromEntries(router.list().map(({ id, status }) => [id, status]));

const never = new AbortController().signal;

describe("a router of models", () => {
  it("loads at the start what is grouped, in an engine each, and routes to it", async () => {
    const { router, engines } = routed(["a", "b", "c"]);
    expect(await router.start([[configOf("a"), configOf("b")], [configOf("c")]])).toEqual([]);
    expect(engines.map(({ configs }) => configs.length)).toEqual([2, 1]);
    expect(await ask(router, "b")).toBe("a+b");
    expect(await ask(router, "c")).toBe("c");
    expect(router.description?.configs.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect(router.description?.memory[0]?.buffers.weights).toBe(300);
  });

  it("is ready without a loaded model, and loads what is asked for, once for all who wait", async () => {
    const { router, engines } = routed(["a", "b"]);
    expect(router.isReady).toBe(true);
    expect(router.tryHold("a")).toBeNull();
    const answers = await Promise.all([ask(router, "a"), ask(router, "a"), ask(router, "b")]);
    expect(answers).toEqual(["a", "a", "b"]);
    expect(engines).toHaveLength(2);
    await expect(router.hold("c", { signal: never })).rejects.toMatchObject({ code: "model_not_found" });
  });

  it("answers 200 random requests to 50 configs of which 5 fit, and never holds more", async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `m${index}`);
    const { router, engines, open, most } = routed(ids, { memoryBytes: 500, pinned: ["m7"] });
    expect(await router.start([[configOf("m7")]])).toEqual([]);
    let state = 1;
    const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
    const asked = Array.from({ length: 200 }, () => ids[Math.floor(random() * ids.length)]!);
    expect(await Promise.all(asked.map((id) => ask(router, id)))).toEqual(asked);
    expect(most()).toBe(500);
    expect(open().length).toBeLessThanOrEqual(5);
    expect(engines.length).toBeGreaterThan(40);
    expect(engines[0]?.isClosed).toBe(false);
    expect(statusOf(router).m7).toBe("loaded");
  });

  it("lets what was used longest ago go, and waits for its running answers", async () => {
    const { router, engines } = routed(["a", "b", "c"], { memoryBytes: 200 });
    await ask(router, "a");
    await ask(router, "b");
    await ask(router, "a");
    const gate = new Gate();
    engines[1]!.script = () => [...answering("slow").slice(0, 2), gate, ...answering("slow").slice(2)];
    const slow = ask(router, "b");
    // Somebody uses b now: a goes, though it was used later.
    expect(await ask(router, "c")).toBe("c");
    expect(statusOf(router)).toEqual({ a: "unloaded", b: "loaded", c: "loaded" });
    gate.open();
    expect(await slow).toBe("slow");
  });

  it("ends a wait with the asker, or in time, and a failed load with its reason, kept as state", async () => {
    const opened = new Gate();
    const { router } = routed(["a", "b"], {
      waitMs: 20,
      open: async (configs) => {
        await opened.opened;
        if (configs[0]?.config.id === "b") throw new ShouldersError("model_file_invalid", "b is broken.");
        return new TestEngine(configs);
      },
    });
    const left = new AbortController();
    const waiting = router.hold("a", { signal: left.signal });
    left.abort(new ShouldersError("server_closing", "gone"));
    await expect(waiting).rejects.toMatchObject({ code: "server_closing" });
    await expect(router.hold("a", { signal: never })).rejects.toMatchObject({ code: "queue_timeout" });
    opened.open();
    await expect(router.load("b", { pin: null, signal: never })).rejects.toMatchObject({
      message: "b is broken.",
    });
    expect(router.list().find(({ id }) => id === "b")).toMatchObject({
      status: "unloaded",
      failure: "b is broken.",
    });
    expect(await ask(router, "a")).toBe("a");
  });

  it("makes room when the device is full, and says so when it cannot", async () => {
    const full: { engines: TestEngine[] } = { engines: [] };
    const { router } = routed(["a", "b"], {
      open: (configs) => {
        if (full.engines.some(({ isClosed }) => !isClosed))
          return Promise.reject(new ShouldersError("out_of_memory", "full"));
        const engine = new TestEngine(configs);
        full.engines.push(engine);
        return Promise.resolve(engine);
      },
    });
    expect(await ask(router, "a")).toBe("a");
    expect(await ask(router, "b")).toBe("b");
    expect(full.engines[0]?.isClosed).toBe(true);
    await router.load("b", { pin: true, signal: never });
    await expect(ask(router, "a")).rejects.toMatchObject({ code: "out_of_memory" });
  });

  it("replaces a config beside its running answers, and keeps it where the new one fails", async () => {
    const { router, engines } = routed(["a", "b"]);
    await router.start([[configOf("a"), configOf("b")]]);
    const gate = new Gate();
    engines[0]!.script = () => [...answering("old").slice(0, 2), gate, ...answering("old").slice(2)];
    const running = ask(router, "a");
    await router.replace(configOf("a", "-new"));
    expect(await ask(router, "a")).toBe("a-new");
    expect(router.description?.configs.map(({ description }) => description)).toEqual(["-new", ""]);
    expect(engines[0]?.isClosed).toBe(false);
    gate.open();
    expect(await running).toBe("old");
    // It still answers for the other.
    expect(engines[0]?.isClosed).toBe(false);
    await router.replace(configOf("b", "-b"));
    await expect.poll(() => engines[0]?.isClosed).toBe(true);
    await router.replace(configOf("a", "-newer"));
    expect(router.description?.configs.map(({ description }) => description)).toEqual(["-newer", "-b"]);
  });

  it("unloads what nobody has used for a while, but not what is pinned", async () => {
    const { router, open } = routed(["a", "b"], { idleMs: 30, pinned: ["b"] });
    await ask(router, "a");
    await ask(router, "b");
    await expect.poll(() => statusOf(router).a).toBe("unloaded");
    await expect.poll(() => open().map(({ configs }) => configs[0]?.config.id)).toEqual(["b"]);
    expect(await ask(router, "a")).toBe("a");
    await router.load("b", { pin: false, signal: never });
    await expect.poll(() => open().length).toBe(0);
  });

  it("forgets what is no longer there, once its answers are done", async () => {
    const { router, open } = routed(["a", "b"]);
    await ask(router, "a");
    await ask(router, "b");
    router.know([configOf("b")]);
    await expect.poll(() => open().map(({ configs }) => configs[0]?.config.id)).toEqual(["b"]);
    await expect(ask(router, "a")).rejects.toMatchObject({ code: "model_not_found" });
    await router.unload("b");
    expect(open()).toEqual([]);
    expect(await ask(router, "b")).toBe("b");
  });

  it("takes up again what others have kept loaded", async () => {
    const configs = [configOf("a"), configOf("b")];
    const { router, engines } = routed([]);
    router.know(configs);
    await router.start([configs]);
    await router.unload("a");
    expect(statusOf(router)).toEqual({ a: "unloaded", b: "loaded" });
    await router.load("a", { pin: null, signal: never });
    expect(statusOf(router)).toEqual({ a: "loaded", b: "loaded" });
    expect(engines).toHaveLength(1);
  });
});

it("what has an RPC server goes before another config of that server is loaded", async () => {
  const { router, open } = routed([]);
  const server = "127.0.0.1:50052";
  router.know([
    configOf("one", "", [server]),
    configOf("two", "", [server, "127.0.0.1:50053"]),
    configOf("other"),
  ]);
  for (const id of ["other", "one"]) await router.load(id, { pin: null, signal: never });
  const release = router.tryHold("one")!;
  const asked = ask(router, "two");
  await expect.poll(() => router.list().find(({ id }) => id === "one")!.status).toBe("unloaded");
  expect(open()).toHaveLength(2);
  release();
  expect(await asked).toBe("two");
  expect(statusOf(router)).toEqual({ one: "unloaded", two: "loaded", other: "loaded" });
  await router.replace(configOf("two", "!", [server]));
  expect(await ask(router, "two")).toBe("two!");
  expect(open()).toHaveLength(2);
});

it("tells why an engine is down", async () => {
  const { router, engines } = routed(["one", "two"]);
  for (const id of ["one", "two"]) await router.load(id, { pin: null, signal: never });
  expect(router.trouble).toBeNull();
  Object.assign(engines[1]!, { description: null, trouble: "RPC server 127.0.0.1:50052 cannot be reached." });
  expect(router.trouble).toMatch(/50052 cannot be reached/);
});
