import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningProcess, startPeer } from "../../bench/server-process.js";
import { realModels, realPath, requests } from "../real/models.js";
import { freePort } from "../support/rpc-servers.js";
import { answer, resolvedConfig, root, textRequest } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { expectSameButTies } from "../support/ties.js";

/** The base alone, on models that others trained, against llama-server of the same sources (bench/build-peer.sh). */

const program = path.join(root, "bench/models/peer/build/bin/llama-server");
const numTokens = 16;

describe.each(realModels)("$id", ({ id, file, chats, unlike }) => {
  let ours: RealServer;
  let theirs: RunningProcess;
  beforeAll(async () => {
    const config = { context: { tokens: 1024, sequences: 1 } };
    ours = await serveConfigs([resolvedConfig({ id, base: realPath(file), config })], { cacheSequences: 0 });
    theirs = await startPeer(program, {
      file: path.join(root, "models/real", file),
      threads: 1,
      sequences: 1,
      contextTokens: 1024,
      port: await freePort(),
    });
  });
  afterAll(async () => {
    await theirs[Symbol.asyncDispose]();
    await ours.close();
  });

  const ask = async (url: string, body: object): Promise<Record<string, unknown>> => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    expect(response.ok, url).toBe(true);
    return (await response.json()) as Record<string, unknown>;
  };

  it("says greedily what llama-server says, on 50 prompts", async () => {
    const parted: string[] = [];
    for (const content of requests) {
      const asked = { model: id, messages: [{ role: "user", content }] };
      const prompt = chats ? ((await ask(`${ours.url}/apply-template`, asked))["prompt"] as string) : content;
      const options = { maxTokens: numTokens, topLogprobs: 10, speculation: "off" } as const;
      const alone = await answer(ours.engine, textRequest(id, prompt, options));
      const greedy = {
        prompt,
        n_predict: numTokens,
        temperature: 0,
        cache_prompt: false,
        return_tokens: true,
      };
      const said = await ask(`${theirs.url}/completion`, greedy);
      const other = { ...alone, text: said["content"] as string, ids: said["tokens"] as number[] };
      // llama-server leaves an answer's end out.
      if (alone.done.finishReason === "stop") alone.ids.pop();
      // Another build of libllama rounds products of 4 bits as differently as other cells do; of 16 bits, not at all.
      if (!expectSameButTies(alone, other, content, unlike.cells)) parted.push(content);
    }
    console.info(`${id}: ${50 - parted.length} of 50 answers are equal; ties: ${parted.join(" ")}`);
    expect(parted.length).toBeLessThanOrEqual(25);
  }, 240_000);
});
