import { expect, it } from "vitest";
import { startTestServer } from "../support/server.js";

it("the page and what it needs are served, and nothing beside it", async () => {
  const { url } = await startTestServer();
  const typeOf = async (path: string) => {
    const response = await fetch(url + path);
    return response.ok ? response.headers.get("content-type") : response.status;
  };
  expect(await typeOf("/")).toMatch("text/html");
  expect(await typeOf("/playground/js/main.js")).toMatch("text/javascript");
  expect(await typeOf("/playground/css/base.css")).toMatch("text/css");
  expect(await typeOf("/playground/vendor/inter.woff2")).toBe("font/woff2");
  expect(await typeOf("/playground/")).toBe(404);
  expect(await typeOf("/playground/..%2fapi%2fapp.ts")).toBe(404);
  expect(await typeOf("/playground/vendor/package.json")).toBe(404);
});

it.each([
  [" Tro", { type: "text", text: " Tro" }],
  [[3, 5], { type: "tokens", tokens: [3, 5] }],
  [null, null],
])("fusion.continue %j begins the answer", async (given, expected) => {
  const server = await startTestServer();
  const messages = [{ role: "user", content: "a" }];
  const response = await server.post("/v1/chat/completions", {
    model: server.engine.description?.configs[0]?.id,
    messages,
    fusion: { continue: given },
  });
  expect(response.status).toBe(200);
  expect(server.engine.submitted.at(-1)?.answerPrefix).toEqual(expected);
});

it("fusion.continue takes only tokens of the vocabulary", async () => {
  const server = await startTestServer();
  const messages = [{ role: "user", content: "a" }];
  const model = server.engine.description?.configs[0]?.id;
  const response = await server.post("/v1/chat/completions", {
    model,
    messages,
    fusion: { continue: [1_000_000] },
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { param: "fusion.continue" } });
});
