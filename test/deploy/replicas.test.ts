import type { ChildProcess } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChatCompletion } from "../../src/wire/completion.js";
import { start, untilPrinted } from "../support/command-line.js";
import {
  ended,
  freePorts,
  isOpen,
  lacksProxy,
  proxyNames,
  startProxy,
  type Proxy,
} from "../support/proxies.js";
import { connect } from "../support/socket.js";

/** deploy/replicas, as it is shipped, before two real servers. */

const names = ["one", "two"] as const;

interface Replica {
  name: string;
  port: number;
  process: ChildProcess;
}

async function startReplica(name: string, port: number): Promise<Replica> {
  const flags = ["--replica", name, "--threads", "1", "--log-level", "error", "--load", "both,giant"];
  const process = start(["serve", "--port", String(port), ...flags]);
  // Once it is ready.
  await untilPrinted(process, "curl");
  return { name, port, process };
}

/** Long, whatever the model would say. */
const stream = { model: "giant", stream: true, max_tokens: 400, grammar: "root ::= [a-z ]{1200}" };

describe.each(proxyNames.filter((name) => !lacksProxy(name)))("%s", (name) => {
  let proxy: Proxy;
  let replicas: Replica[];
  beforeAll(async () => {
    const ports = (await freePorts(2)) as [number, number];
    replicas = await Promise.all(names.map((replica, index) => startReplica(replica, ports[index]!)));
    proxy = await startProxy(name, ports);
  });
  afterAll(async () => {
    replicas.forEach(({ process }) => process.kill("SIGKILL"));
    await proxy.close();
  });

  const post = (path: string, body: object, to = proxy.url) =>
    fetch(to + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  async function ask(first: string, next: string, fields: object = {}) {
    const messages = [
      { role: "system", content: first },
      { role: "user", content: next },
    ];
    const response = await post("/v1/chat/completions", {
      model: "both",
      messages,
      max_tokens: 4,
      ...fields,
    });
    expect(response.status).toBe(200);
    const body = (await response.json()) as ChatCompletion;
    const numCached = body.usage.prompt_tokens_details.cached_tokens;
    return { replica: response.headers.get("x-shoulders-replica"), id: body.id, numCached };
  }

  const beginning = (index: number) => `Number ${index}. ${"Where does everybody live? ".repeat(12)}`;

  it("sends what begins alike to one replica, which has read it", async () => {
    const seen = new Set<string | null>();
    for (let index = 0; index < 12; index++) {
      const one = await ask(beginning(index), "And Paula?");
      const other = await ask(beginning(index), "What is two and two?");
      expect(other.replica).toBe(one.replica);
      expect(other.numCached).toBeGreaterThan(0);
      seen.add(one.replica);
    }
    expect([...seen].sort()).toEqual([...names]);
  });

  it("finds a trace and a kept response where they are, whatever the beginning", async () => {
    for (let index = 0; index < 4; index++) {
      const { id, replica } = await ask(beginning(index), "hi", { fusion: { keep_trace: "weights" } });
      expect(id).toMatch(`chatcmpl-${replica}.`);
      const trace = await fetch(`${proxy.url}/v1/fusion/traces/${id}`);
      expect([trace.status, trace.headers.get("x-shoulders-replica")]).toEqual([200, replica]);
      const kept = await post("/v1/responses", {
        model: "both",
        input: `hi ${index}`,
        max_output_tokens: 16,
      });
      const { id: before } = (await kept.json()) as { id: string };
      expect((await fetch(`${proxy.url}/v1/responses/${before}`)).status).toBe(200);
      // nginx reads no body before it knows where to.
      if (name === "nginx") continue;
      const next = { model: "both", input: "and?", previous_response_id: before, max_output_tokens: 16 };
      expect((await post("/v1/responses", next)).status).toBe(200);
      expect((await post("/v1/fusion/feedback", { trace: id, score: 1 })).status).toBe(201);
    }
    const elsewhere = `http://127.0.0.1:${replicas[0]!.port}/v1/fusion/traces/chatcmpl-two.${"0".repeat(32)}`;
    const { error } = (await (await fetch(elsewhere)).json()) as { error: { message: string } };
    expect(error.message).toMatch('at the replica "two"');
  });

  /** Reads in which tokens came, and how many tokens. */
  async function reads(url: string) {
    const response = await post("/v1/completions", { ...stream, prompt: "Where" }, url);
    let [numReads, text] = [0, ""];
    for await (const chunk of response.body!) {
      numReads++;
      text += Buffer.from(chunk).toString();
    }
    return { numReads, numTokens: text.split("data: {").length - 1 };
  }

  it("passes tokens on as they come", async () => {
    const through = await reads(proxy.url);
    const direct = await reads(`http://127.0.0.1:${replicas[0]!.port}`);
    const share = ({ numReads, numTokens }: typeof through) => numReads / numTokens;
    // In clumps of 200 ms they would come in a few reads.
    expect(share(through)).toBeGreaterThan(share(direct) / 3);
  });

  it("lets WebSockets through", async () => {
    const socket = await connect(proxy.url);
    for (let index = 0; index < 3; index++) {
      const response = { model: "giant", prompt: "Where", max_tokens: 3 };
      socket.send({ type: "response.create", event_id: `e${index}`, response });
    }
    await expect.poll(() => socket.of("response.done").length).toBe(3);
  });

  it("a replica that is told to end finishes its answer; what comes meanwhile is answered by the other", async () => {
    const running = await post("/v1/completions", { ...stream, prompt: "Who" });
    const draining = replicas.find((replica) => replica.name === running.headers.get("x-shoulders-replica"))!;
    const reader = running.body!.getReader();
    let text = Buffer.from((await reader.read()).value).toString();
    draining.process.kill("SIGTERM");
    while (await isOpen(draining.port));
    for (let index = 0; index < 6; index++)
      expect((await ask(beginning(index), "hi")).replica).not.toBe(draining.name);
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += Buffer.from(part.value).toString();
    expect(text).toMatch(/"finish_reason":"(length|stop)"[\s\S]*data: \[DONE\]/);
    expect(await ended(draining.process)).toBe(0);
    replicas[replicas.indexOf(draining)] = await startReplica(draining.name, draining.port);
    // It gets what is its own again.
    await expect
      .poll(
        async () =>
          new Set(
            await Promise.all(
              [0, 1, 2, 3, 4, 5, 6, 7].map(async (index) => (await ask(beginning(index), "hi")).replica),
            ),
          ).size,
      )
      .toBe(2);
  });

  it("a replica that is killed costs the answers that had begun; the next are answered", async () => {
    const begun = await post("/v1/completions", { ...stream, prompt: "Who" });
    const killed = replicas.find((replica) => replica.name === begun.headers.get("x-shoulders-replica"))!;
    killed.process.kill("SIGKILL");
    for (let index = 0; index < 12; index++)
      expect((await ask(beginning(index), "hi")).replica).not.toBe(killed.name);
    await expect(begun.text().then((text) => text.includes("[DONE]"))).rejects.toThrow();
  });
});
