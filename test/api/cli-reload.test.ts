import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { childrenOf } from "../support/processes.js";
import { start, untilPrinted } from "../support/command-line.js";
import { randomLlama, smallLlama, writeGguf } from "../support/gguf-writer.js";

/** Configs that come, change and go while `shoulders serve` runs, on the shipped family. */

let folder: string;
let child: ChildProcess | null = null;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "shoulders-reload-"));
});
afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

const family = (name: string): string => path.resolve("models/family", `${name}.gguf`);
const alone = (id: string, changes: object = {}): object => ({
  id,
  base: family("giant"),
  context: { tokens: 256, sequences: 2 },
  sampling: { temperature: 0 },
  ...changes,
});
const write = (name: string, config: object | string): void =>
  writeFileSync(path.join(folder, name), typeof config === "string" ? config : JSON.stringify(config));

async function serve(...args: string[]): Promise<string> {
  child = start(["serve", "--port", "0", "--threads", "1", "--fusion-configs", folder, ...args]);
  child.stderr?.resume();
  const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, "curl"))!;
  return url;
}

const post = (url: string, body: object, signal: AbortSignal | null = null): Promise<Response> =>
  fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

/** Ends of an answer. */
const never = Object.fromEntries([0, 1, 2, 3].map((token) => [token, -100]));

async function statusOf(url: string): Promise<Record<string, string>> {
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
    data: { id: string; status: { value: string } }[];
  };
  return Object.fromEntries(data.map(({ id, status }) => [id, status.value]));
}

async function answerOf(url: string, model: string): Promise<number> {
  const response = await post(`${url}/v1/completions`, { model, prompt: "What", max_tokens: 4 });
  await response.text();
  return response.status;
}

const patience = { timeout: 150_000, interval: 100 };

describe("shoulders serve, while it runs", () => {
  it("takes new and changed configs, and lets a bad one stop nothing", async () => {
    write("a.json", alone("a"));
    const url = await serve();
    write("b.yaml", `id: b\nbase: ${family("dwarf")}\ncontext: {tokens: 256, sequences: 1}\n`);
    await expect.poll(() => statusOf(url), patience).toEqual({ a: "loaded", b: "loaded" });
    expect(childrenOf(child!.pid!)).toHaveLength(2);
    expect(await answerOf(url, "b")).toBe(200);
    write("a.json", "{");
    const bad = (await (await post(`${url}/models/reload`, {})).json()) as { problems: string[] };
    expect(bad.problems).toEqual([expect.stringMatching(/a\.json:1:2: not JSON/)]);
    write("a.json", alone("a", { base: family("gaint") }));
    const wrong = (await (await post(`${url}/models/reload`, {})).json()) as { problems: string[] };
    expect(wrong.problems).toEqual([
      expect.stringMatching(/a\.json:1:\d+ base: .*Did you mean giant\.gguf\?/),
    ]);
    expect(await answerOf(url, "a")).toBe(200);
    write("a.json", alone("a", { description: "another" }));
    await expect
      .poll(async () => (await fetch(`${url}/v1/fusion/configs/a`)).json(), patience)
      .toMatchObject({ description: "another" });
    rmSync(path.join(folder, "b.yaml"));
    await expect.poll(() => statusOf(url), patience).toEqual({ a: "loaded" });
    await expect.poll(() => childrenOf(child!.pid!), patience).toHaveLength(1);
  }, 400_000);

  it("loads small models of a large vocabulary of their own while an answer's tokens go on coming", async () => {
    const size = { vocabularySize: 20_000, embedding: 32, layers: 1, heads: 2, feedForward: 32 };
    const other = Array.from({ length: size.vocabularySize }, (_, id) => `Ġother${id}`);
    const [wide, own] = [path.join(folder, "wide.gguf"), path.join(folder, "own.gguf")];
    writeGguf(wide, randomLlama(size));
    writeGguf(own, randomLlama({ ...size, tokens: [...smallLlama.tokens, ...other].slice(0, other.length) }));
    const experts = [{ id: "own", model: own }];
    write("a.json", alone("a", { context: { tokens: 2048, sequences: 2 } }));
    const url = await serve("--watch-configs", "off");
    const leaving = new AbortController();
    let numParts = 0;
    const reading = (async () => {
      // Answers one after the other, so that there is always one.
      for (;;) {
        const body = { model: "a", prompt: "What", stream: true, max_tokens: 2000, logit_bias: never };
        const answer = await post(`${url}/v1/completions`, body, leaving.signal);
        for await (const part of answer.body!) numParts += Number((part as Uint8Array).length > 0);
      }
    })();
    reading.catch(() => undefined);
    await expect.poll(() => numParts).toBeGreaterThan(0);
    write("b.json", alone("b", { base: wide, reference: own, experts, vocabulary: "own" }));
    const known = post(`${url}/models/reload`, {});
    await expect.poll(() => childrenOf(child!.pid!), { interval: 5 }).toHaveLength(2);
    const numBefore = numParts;
    let numDuring = 0;
    const statusOfLoad = async () => {
      const numSoFar = numParts - numBefore;
      const { b } = await statusOf(url);
      if (b === "loading") numDuring = numSoFar;
      return b;
    };
    await expect.poll(statusOfLoad, { ...patience, interval: 20 }).toBe("loaded");
    expect(numDuring).toBeGreaterThan(0);
    expect(await (await known).json()).toMatchObject({ problems: [] });
    leaving.abort();
    await expect(reading).rejects.toThrow();
  }, 400_000);

  it("reads configs again on SIGHUP, which ends no answer; answers end with the config they began with", async () => {
    write("a.json", alone("a"));
    const url = await serve("--watch-configs", "off");
    const running = await post(`${url}/v1/completions`, {
      ...{ model: "a", prompt: "What", stream: true, max_tokens: 240, logit_bias: never },
    });
    write("a.json", alone("a", { description: "another" }));
    child!.kill("SIGHUP");
    expect(await running.text()).toMatch(/"finish_reason":"length"[^]*data: \[DONE\]\n\n$/);
    await expect
      .poll(async () => (await fetch(`${url}/v1/fusion/configs/a`)).json(), patience)
      .toMatchObject({ description: "another" });
    expect(await answerOf(url, "a")).toBe(200);
    child!.kill("SIGHUP");
    child!.kill("SIGHUP");
    expect(await answerOf(url, "a")).toBe(200);
  }, 400_000);

  it("holds a memory bound: what was used longest ago makes room, and each is answered", async () => {
    const ids = ["a", "b", "c", "d"];
    // Nothing is shared: an engine each.
    for (const id of ids)
      write(
        `${id}.json`,
        alone(id, {
          base: family(`giant${id === "a" ? "" : `-${{ b: "recall", c: "choice", d: "problems" }[id]}`}`),
        }),
      );
    const url = await serve("--memory-megabytes", "420");
    expect(Object.values(await statusOf(url)).filter((status) => status === "loaded").length).toBeLessThan(4);
    const statuses = await Promise.all([...ids, ...ids].map((id) => answerOf(url, id)));
    expect(statuses).toEqual(statuses.map(() => 200));
    const loaded = Object.values(await statusOf(url)).filter((status) => status === "loaded");
    expect(loaded.length).toBeGreaterThan(0);
    expect(loaded.length).toBeLessThan(4);
    expect(childrenOf(child!.pid!).length).toBeLessThan(4);
  }, 400_000);
});
