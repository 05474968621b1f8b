import { describe, expect, it } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import type { Models, ModelState } from "../../src/protocol/models.js";
import { ShouldersError } from "../../src/errors.js";
import { Gate } from "../support/fake-engine.js";
import { readEvents, startTestServer, type TestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

/** Two models, of which `both` is not loaded until the gate opens. */
class GatedModels implements Models {
  isReady = true;
  readonly trouble = null;
  readonly gate = new Gate();
  readonly asked: string[] = [];
  numHeld = 0;
  failure: ShouldersError | null = null;
  #isLoaded = false;

  list(): ModelState[] {
    const state = { progress: null, failure: null, isPinned: false };
    return [
      { ...state, id: "giant", status: "loaded", isPinned: true },
      this.#isLoaded
        ? { ...state, id: "both", status: "loaded" }
        : { ...state, id: "both", status: "loading", progress: 0.25, failure: this.failure?.message ?? null },
    ];
  }

  has(id: string): boolean {
    return id === "giant" || id === "both";
  }

  tryHold(id: string): (() => void) | null {
    if (id === "both" && !this.#isLoaded) return null;
    this.numHeld++;
    return () => this.numHeld--;
  }

  async hold(id: string, { signal, onProgress }: Parameters<Models["hold"]>[1]): Promise<() => void> {
    onProgress?.(0.25);
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }),
    );
    await Promise.race([this.gate.opened, aborted]);
    if (this.failure !== null) throw this.failure;
    this.#isLoaded = true;
    return this.tryHold(id) ?? (() => undefined);
  }

  load(id: string, { pin }: { pin: boolean | null }): Promise<void> {
    this.asked.push(`load ${id} ${String(pin)}`);
    return Promise.resolve();
  }

  unload(id: string): Promise<void> {
    this.asked.push(`unload ${id}`);
    return Promise.resolve();
  }

  reload(): Promise<string[]> {
    return Promise.resolve(["a.json:1:1: wrong"]);
  }
}

async function start(): Promise<{ server: TestServer; models: GatedModels }> {
  const models = new GatedModels();
  return { models, server: await startTestServer({ models, loadProgressMs: 5 }) };
}

const body = { model: "both", messages: [{ role: "user", content: "Hi" }] };

describe("GET /v1/models", () => {
  it("lists all configs with their state, as llama-server's router does", async () => {
    const { server } = await start();
    const { data } = (await (await fetch(`${server.url}/models`)).json()) as { data: object[] };
    expect(data).toMatchObject([
      { id: "giant", object: "model", status: { value: "loaded", pinned: true } },
      { id: "both", object: "model", status: { value: "loading", progress: 0.25 } },
    ]);
    expect((await fetch(`${server.url}/v1/models/none`)).status).toBe(404);
  });
});

describe("POST /models/load and unload", () => {
  it("begin at once, with or without /v1, and refuse what is not there", async () => {
    const { server, models } = await start();
    for (const path of ["/models/load", "/v1/models/load"])
      expect(await (await server.post(path, { model: "both" })).json()).toEqual({ success: true });
    await server.post("/models/load", { model: "both", pin: true });
    expect(await (await server.post("/models/unload", { model: "both" })).json()).toEqual({ success: true });
    expect(models.asked).toEqual(["load both null", "load both null", "load both true", "unload both"]);
    expect((await server.post("/models/load", { model: "none" })).status).toBe(404);
    expect((await server.post("/models/load", {})).status).toBe(400);
    const reloaded = await server.post("/models/reload", {});
    expect(await reloaded.json()).toEqual({ success: false, problems: ["a.json:1:1: wrong"] });
  });

  it("are an operator's", async () => {
    const [ann, bob] = ["a".repeat(20), "b".repeat(20)];
    const keys = parseApiKeys(`operator:ann=${ann}\nbob=${bob}`, "test");
    const server = await startTestServer({ models: new GatedModels(), access: { keys } });
    const asked = async (key: string, path: string) =>
      server.post(
        path,
        { model: "giant" },
        { headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" } },
      );
    for (const path of ["/models/load", "/models/unload"]) {
      expect((await asked(ann, path)).status).toBe(200);
      const refused = await asked(bob, path);
      expect(refused.status).toBe(403);
      expect(await refused.json()).toMatchObject({ error: { code: "operator_required" } });
    }
  });
});

describe("a request for a model that is not loaded", () => {
  it("waits for it, shows in comments how far it is, and holds it until its end", async () => {
    const { server, models } = await start();
    const response = await server.post("/v1/chat/completions", { ...body, stream: true });
    expect(response.status).toBe(200);
    setTimeout(() => models.gate.open(), 30);
    const text = await response.clone().text();
    expect(text).toMatch(/^: loading 25 %\n\n/);
    const events = await readEvents(response);
    expect(events.at(-1)).toBe("[DONE]");
    expect(text).toContain("Hello");
    await expect.poll(() => models.numHeld).toBe(0);
  });

  it("has a plain answer without a stream, and its own status where the load fails", async () => {
    const { server, models } = await start();
    models.gate.open();
    expect((await server.post("/v1/chat/completions", body)).status).toBe(200);
    const other = await start();
    other.models.failure = new ShouldersError("out_of_memory", "The models do not fit.");
    const failing = other.server.post("/v1/chat/completions", body);
    other.models.gate.open();
    const response = await failing;
    expect(response.status).toBe(507);
    expect(await response.json()).toMatchObject({ error: { code: "out_of_memory" } });
  });

  it("tells within a stream that has begun what is wrong", async () => {
    const { server, models } = await start();
    models.failure = new ShouldersError("out_of_memory", "The models do not fit.");
    const response = await server.post("/v1/chat/completions", { ...body, stream: true });
    models.gate.open();
    const events = await readEvents(response);
    expect(events).toMatchObject([{ error: { code: "out_of_memory", message: "The models do not fit." } }]);
  });

  it("is told over WebSocket how far it is, answered then, and may be cancelled", async () => {
    const { server, models } = await start();
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { ...body, id: "one" } });
    socket.send({ type: "response.create", response: { ...body, id: "two" } });
    const loading = await socket.until("model.loading", ({ progress }) => progress > 0);
    expect(loading).toMatchObject({ response_id: "one", model: "both", progress: 0.25 });
    socket.send({ type: "response.cancel", response_id: "two" });
    expect(await socket.until("error")).toMatchObject({
      error: { message: expect.stringContaining("cancelled") as string },
    });
    models.gate.open();
    expect(await socket.until("response.done")).toMatchObject({
      response: { id: "one", status: "completed" },
    });
    await expect.poll(() => models.numHeld).toBe(0);
  });
});
