import { expect, it } from "vitest";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { ShouldersError } from "../../src/errors.js";
import { accepted, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import { readEvents, startTestServer, type TestServer } from "../support/server.js";

const chat = {
  model: "both",
  messages: [{ role: "user", content: "hi" }],
  fusion: { trace: "full" },
};

async function complete(server: TestServer, fields: object = {}): Promise<string> {
  const response = await server.post("/v1/chat/completions", { ...chat, ...fields });
  return ((await response.json()) as { id: string }).id;
}

const get = async (server: TestServer, path: string) => fetch(`${server.url}/v1/fusion/traces${path}`);

it("a trace holds every token, those that were not shown too", async () => {
  const server = await startTestServer();
  const id = await complete(server);
  const trace = (await (await get(server, `/${id}`)).json()) as { tokens: { position: number }[] };
  expect(trace).toMatchObject({
    id,
    object: "fusion.trace",
    model: "both",
    created: expect.any(Number) as number,
    status: "completed",
    finish_reason: "stop",
    level: "full",
    prompt_tokens: 7,
    usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
  });
  expect(trace.tokens.map(({ position }) => position)).toEqual([7, 8, 9]);
  expect(trace.tokens[0]).toEqual(tokenOf("Hello").record);
});

it("as CSV it has a line a token, and quotes what needs it", async () => {
  const server = await startTestServer();
  server.engine.script = () => [accepted, deltaOf('"a",\n'), deltaOf("b", 1), doneAfter(2, "length")];
  const response = await get(server, `/${await complete(server)}?format=csv`);
  expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  expect(response.headers.get("content-disposition")).toMatch(/^attachment; filename="?chatcmpl-\w+\.csv"?$/);
  expect((await response.text()).split("\r\n")).toEqual([
    "position,token.id,token.text,logprob,nats,log_ratio,decided_by,chosen,flipped,vouch," +
      "contested.by,contested.token.text,contested.against,unread,base_token.id,base_token.text,base_token.logprob,objective," +
      "evaluations,divergence.forward,divergence.reverse,timing.fuse_ms,timing.sample_ms," +
      "weights.trivia,divergence.targets.trivia.forward,divergence.targets.trivia.reverse," +
      "weights.sums,divergence.targets.sums.forward,divergence.targets.sums.reverse," +
      "timing.decode_ms.base,timing.decode_ms.reference,timing.decode_ms.trivia,timing.decode_ms.sums",
    '7,100,"""a"",\n",-0.25,0.4,1.25,weight,trivia,true,expert,,,,,17, The,-1.5,0.001,5,0.4,0.3,0.3,0.1,0.5,0.44,0.35,0,0.1,0.2,9,1,1,1',
    "8,101,b,-0.25,0.4,1.25,base,trivia,false,expert,,,,,17, The,-1.5,0.001,5,0.4,0.3,0.3,0.1,0.5,0.44,0.35,0,0.1,0.2,9,1,1,1",
    "",
  ]);
});

it("the list has headers, newest first, by pages", async () => {
  const server = await startTestServer();
  const ids = [await complete(server), await complete(server), await complete(server)].reverse();
  interface Page {
    data: { id: string; tokens?: unknown }[];
    has_more: boolean;
  }
  const page = async (query: string) => (await (await get(server, query)).json()) as Page;
  const all = await page("");
  expect(all.data.map(({ id }) => id)).toEqual(ids);
  expect(all.has_more).toBe(false);
  expect(all.data[0]).not.toHaveProperty("tokens");
  const first = await page("?limit=2");
  expect([first.data.length, first.has_more]).toEqual([2, true]);
  const second = await page(`?limit=2&after=${ids[1]}`);
  expect([second.data.map(({ id }) => id), second.has_more]).toEqual([[ids[2]], false]);
});

it("a running completion has one, which can be followed live", async () => {
  const server = await startTestServer();
  const gates = [new Gate(), new Gate()];
  server.engine.script = () => [accepted, deltaOf("a"), gates[0]!, deltaOf("b", 1), gates[1]!, doneAfter(2)];
  const stream = await server.post("/v1/chat/completions", { ...chat, stream: true });
  const id = server.engine.submitted[0]!.requestId;
  expect(await (await get(server, `/${id}`)).json()).toMatchObject({
    status: "in_progress",
    finish_reason: null,
    usage: null,
    tokens: [{ position: 7 }],
  });
  const live = await get(server, `/${id}/events`);
  gates[0]!.open();
  gates[1]!.open();
  const events = (await readEvents(live)) as { type: string; tokens?: { position: number }[] }[];
  expect(events[0]).toMatchObject({ type: "trace.started", trace: { id } });
  expect(events.at(-1)).toMatchObject({ type: "trace.ended", trace: { id, status: "completed" } });
  expect(events.flatMap(({ tokens = [] }) => tokens.map(({ position }) => position))).toEqual([7, 8, 9]);
  await stream.text();
  const later = (await readEvents(await get(server, `/${id}/events`))) as { type: string }[];
  expect(later.map(({ type }) => type)).toEqual(["trace.started", "trace.tokens", "trace.ended"]);
});

it("one who follows and leaves disturbs nobody", async () => {
  const server = await startTestServer();
  const gate = new Gate();
  server.engine.script = () => [accepted, deltaOf("a"), gate, doneAfter(1)];
  const stream = await server.post("/v1/chat/completions", { ...chat, stream: true });
  const controller = new AbortController();
  const path = `${server.url}/v1/fusion/traces/${server.engine.submitted[0]!.requestId}/events`;
  const live = await fetch(path, { signal: controller.signal });
  const failure = expect(live.text()).rejects.toThrow();
  controller.abort();
  await failure;
  gate.open();
  expect(await stream.text()).toContain("[DONE]");
});

it("failed, cancelled and cut completions say so", async () => {
  const server = await startTestServer();
  const statusOf = async (id: string) =>
    ((await (await get(server, `/${id}`)).json()) as { status: string }).status;
  const last = () => server.engine.submitted.at(-1)!.requestId;
  server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("decode_failed", "No.")];
  await complete(server);
  expect(await statusOf(last())).toBe("failed");
  server.engine.script = () => [accepted, deltaOf("a"), doneAfter(1, "length")];
  await complete(server);
  expect(await statusOf(last())).toBe("incomplete");
  server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
  const controller = new AbortController();
  await server.post("/v1/chat/completions", { ...chat, stream: true }, { signal: controller.signal });
  const live = await get(server, `/${last()}/events`);
  controller.abort();
  expect((await readEvents(live)).at(-1)).toMatchObject({
    type: "trace.ended",
    trace: { status: "cancelled" },
  });
  expect(await statusOf(last())).toBe("cancelled");
  server.engine.script = () => [new ShouldersError("queue_full", "Later.")];
  await complete(server);
  expect((await get(server, `/${last()}`)).status).toBe(404);
});

it.each([
  ["/nothing", 404, "trace_not_found", null],
  ["/nothing/events", 404, "trace_not_found", null],
  ["/nothing?format=xml", 400, "invalid_request", "format"],
  ["/nothing?fromat=csv", 400, "invalid_request", "fromat"],
  ["?limit=0", 400, "invalid_request", "limit"],
  ["?after=nothing", 404, "trace_not_found", "after"],
])("%s: %i", async (path, status, code, param) => {
  const server = await startTestServer();
  const response = await get(server, path);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code, param } });
});

it("is kept when it is asked for: by the request, or by the server's setting for those that do not say", async () => {
  const statusOf = async (server: TestServer, fusion: object) => {
    const response = await server.post("/v1/chat/completions", { ...chat, fusion });
    const { id, choices } = (await response.json()) as { id: string; choices: { fusion?: object }[] };
    // Its id is told, kept or not.
    expect(response.headers.get("x-shoulders-trace")).toBe(id);
    const kept = await get(server, `/${id}`);
    const { level = null, tokens } = (await kept.json()) as {
      level?: string;
      tokens?: { timing?: object }[];
    };
    return [choices[0]?.fusion !== undefined, level, tokens?.[0]?.timing !== undefined];
  };
  const quiet = await startTestServer();
  expect(await statusOf(quiet, {})).toEqual([false, null, false]);
  expect(await statusOf(quiet, { trace: "weights" })).toEqual([true, "weights", false]);
  expect(await statusOf(quiet, { trace: "weights", keep_trace: "off" })).toEqual([true, null, false]);
  expect(await statusOf(quiet, { keep_trace: "full" })).toEqual([false, "full", true]);
  const keeping = await startTestServer({ keptTrace: "weights" });
  expect(await statusOf(keeping, {})).toEqual([false, "weights", false]);
  expect(await statusOf(keeping, { keep_trace: "off" })).toEqual([false, null, false]);
  expect(await statusOf(keeping, { trace: "full" })).toEqual([true, "full", true]);
});

it("is told in part: some tokens, and less of each", async () => {
  const server = await startTestServer();
  const part = async (query: string) => {
    const { tokens } = (await (await get(server, `/${id}?${query}`)).json()) as { tokens: TokenRecord[] };
    return tokens.map(({ position, timing }) => [position, timing !== undefined]);
  };
  const id = await complete(server);
  expect(await part("offset=1&limit=1")).toEqual([[8, true]]);
  expect(await part("offset=2")).toEqual([[9, true]]);
  expect(await part("level=weights&limit=2")).toEqual([
    [7, false],
    [8, false],
  ]);
  expect(await part("offset=9")).toEqual([]);
});
