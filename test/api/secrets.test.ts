import { Writable } from "node:stream";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { ShouldersError } from "../../src/errors.js";
import { answering } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

describe("secrets", () => {
  const canaries = {
    prompt: "canary-prompt-4711",
    answer: "canary-answer-4711",
    key: "canary-key-0123456789",
    wrongKey: "canary-wrong-0123456789",
    path: "/canary/path/model.gguf",
    field: "canary-field",
  };

  it("come out nowhere: no error, log line or metric has them", async () => {
    const out: string[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        out.push(`log: ${chunk.toString()}`);
        done();
      },
    });
    const keys = parseApiKeys(`ann=${canaries.key}`, "test");
    const server = await startTestServer({ log: pino({ level: "debug" }, sink), access: { keys } });
    const headersOf = (key: string) => ({
      "Content-Type": "application/json",
      Authorization: `Bearer ${key}`,
    });
    const say = async (path: string, body: unknown, key = canaries.key) => {
      const response = await server.post(path, body, { headers: headersOf(key) });
      const text = await response.text();
      if (response.status !== 200) out.push(`answer: ${text}`);
      out.push(`headers: ${JSON.stringify([...response.headers])}`);
    };
    const chat = {
      model: "both",
      messages: [{ role: "user", content: canaries.prompt }],
      user: canaries.prompt,
    };
    server.engine.script = () => answering(canaries.answer);
    const routes = [
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/responses",
      "/v1/fusion/explain",
      "/v1/fusion/judge",
      "/tokenize",
    ];
    for (const path of [...routes, `/v1/${canaries.field}`, `/v1/fusion/solve?x=${canaries.field}`]) {
      await say(path, chat);
      await say(path, chat, canaries.wrongKey);
      await say(path, { ...chat, temperature: canaries.prompt, stop: [canaries.prompt, 1] });
      await say(path, `{"prompt": "${canaries.prompt}" nonsense`);
      await say(path, JSON.stringify(canaries.prompt));
    }
    for (const failure of [
      new TypeError(`Cannot read ${canaries.field}`),
      new ShouldersError("internal", "Broken.", { cause: new Error(canaries.field) }),
    ]) {
      server.engine.script = () => {
        throw failure;
      };
      const lengthBefore = out.length;
      await say("/v1/chat/completions", chat);
      await say("/v1/chat/completions", { ...chat, stream: true });
      // What broke inside is for the log; the wire has none of it.
      for (const line of out.splice(lengthBefore)) if (!line.startsWith("log:")) out.push(line);
    }
    const socket = await connect(server.url, { headers: headersOf(canaries.key) });
    socket.send({ type: "response.create", response: { ...chat, temperature: canaries.prompt } });
    socket.send(`{"${canaries.prompt}`);
    await socket.until("error", ({ error }) => error.code === "invalid_json");
    out.push(...socket.of("error").map((frame) => JSON.stringify(frame)));
    out.push(await (await fetch(`${server.url}/metrics`, { headers: headersOf(canaries.key) })).text());
    const configs = await fetch(`${server.url}/v1/fusion/configs`, { headers: headersOf(canaries.key) });
    out.push(await configs.text());
    await server.close();
    const all = out.join("\n");
    for (const canary of Object.values(canaries)) expect(all).not.toContain(canary);
    expect(all).not.toMatch(/\/somewhere\/private|node_modules|\n? +at .*:\d+:\d+/);
    expect(all).toContain('"key":"ann"');
    const ends = out.filter((line) => line.includes('"msg":"request ended"'));
    expect(ends.length).toBeGreaterThan(30);
  });
});
