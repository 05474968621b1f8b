import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadFusionConfigs } from "../../src/config/load.js";
import { located } from "../support/members.js";
import { modelPath, resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serveConfigs, type RealServer } from "../support/real-server.js";
import { templateVectors } from "../support/template-vectors.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Templates in place of the files' own: of a config, and of a request where the config allows it. */

const own = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
const directory = temporaryDirectory();
const experts = { trivia: "dwarf-trivia" };
let server: RealServer;

/** The config as read from a file. */
function read(name: string, fields: object) {
  const file = directory.file(`${name}.json`);
  writeFileSync(file, JSON.stringify({ id: name, base: modelPath("giant"), ...fields }));
  return loadFusionConfigs(file)[0]!.config;
}

beforeAll(async () => {
  writeFileSync(directory.file("own.jinja"), own);
  const config = read("file", { chatTemplate: "own.jinja" });
  const tools = { chatTemplate: templateVectors.templates["Qwen3-Coder"]! };
  server = await serveConfigs([
    { config, members: located(config), card: null },
    resolvedConfig({ id: "plain", base: "giant" }),
    resolvedConfig({
      id: "tools",
      base: "giant",
      config: { ...tools, context: { tokens: 2048, sequences: 2 } },
    }),
    resolvedConfig({
      id: "open",
      base: "giant",
      reference: "dwarf",
      experts,
      config: { requestChatTemplate: true },
    }),
  ]);
});
afterAll(async () => {
  await server.close();
  directory.remove();
});

const messages = [{ role: "user", content: "Hello?" }];

async function promptsOf(body: object): Promise<string[]> {
  const response = await server.post("/apply-template", { messages, ...body });
  const answer = (await response.json()) as { fusion: { prompts: Record<string, { text: string }> } };
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return Object.values(answer.fusion.prompts).map(({ text }) => text);
}

describe("a config's template", () => {
  it("is read from its file, and writes every chat", async () => {
    expect(await promptsOf({ model: "file" })).toEqual(["<user>Hello?<assistant>"]);
    expect((await promptsOf({ model: "plain" }))[0]).toContain("Question: Hello?");
  });

  it("has its own form of calls", async () => {
    const answer = await server.client.chat.completions.create({
      model: "tools",
      messages: [{ role: "user", content: "Time?" }],
      tools: [
        {
          type: "function",
          function: { name: "now", parameters: { type: "object", properties: { zone: { enum: ["utc"] } } } },
        },
      ],
      tool_choice: "required",
      parallel_tool_calls: false,
      max_completion_tokens: 300,
    });
    expect(answer.choices[0]!.finish_reason).toBe("tool_calls");
    const [prompt] = await promptsOf({
      model: "tools",
      tools: [{ type: "function", function: { name: "now" } }],
    });
    expect(prompt).toContain("<function=example_function_name>");
  });

  it("that is no file is told with its place", () => {
    expect(() => read("lost", { chatTemplate: "lost.jinja" })).toThrow(
      /lost\.json:1:\d+ chatTemplate: .*lost\.jinja cannot be read: ENOENT/,
    );
  });

  it("that does not work ends the load, and says why", async () => {
    const broken = resolvedConfig({ id: "broken", base: "giant", config: { chatTemplate: "{% if %}" } });
    await expect(startRealEngine([broken])).rejects.toThrow(
      /Config "broken": The chat template does not work/,
    );
  });

  it("changes the fingerprint of answers", async () => {
    const fingerprintOf = async (model: string) => {
      const response = await server.post("/v1/chat/completions", { model, messages, max_tokens: 1 });
      return ((await response.json()) as { system_fingerprint: string }).system_fingerprint;
    };
    expect(await fingerprintOf("file")).not.toBe(await fingerprintOf("plain"));
  });
});

describe("a request's template", () => {
  it("writes the prompt of every model where the config allows it", async () => {
    const prompts = await promptsOf({ model: "open", chat_template: own });
    expect(prompts).toEqual(Array.from({ length: 3 }, () => "<user>Hello?<assistant>"));
    const body = { model: "open", messages, chat_template: own, max_tokens: 2 };
    expect((await server.post("/v1/chat/completions", body)).status).toBe(200);
  });

  it.each(["plain", "file"])("is refused elsewhere (%s)", async (model) => {
    const response = await server.post("/v1/chat/completions", { model, messages, chat_template: own });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { param: "chat_template", message: expect.stringContaining("requestChatTemplate") as string },
    });
    const empty = await server.post("/v1/chat/completions", {
      model,
      messages,
      chat_template: "",
      max_tokens: 1,
    });
    expect(empty.status).toBe(200);
  });

  it("that does not work, or never ends, is refused with the reason", async () => {
    for (const chat_template of [
      "{% if %}",
      "no messages",
      `${own}{% for a in range(999999999) %}x{% endfor %}`,
    ]) {
      const body = { model: "open", messages, chat_template, max_tokens: 1 };
      const response = await server.post("/v1/chat/completions", body);
      expect(response.status, chat_template).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param: "chat_template" } });
    }
  });
});

it("the published schema of configs knows both fields", () => {
  const schema = JSON.parse(
    readFileSync(new URL("../../fusion-configs/fusion-config.schema.json", import.meta.url), "utf8"),
  ) as { properties: object };
  expect(Object.keys(schema.properties)).toEqual(
    expect.arrayContaining(["chatTemplate", "requestChatTemplate"]),
  );
});
