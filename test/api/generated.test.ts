import { Agent, request } from "node:http";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isMessagesPath } from "../../src/api/anthropic/message-error.js";
import { FakeEngine } from "../support/fake-engine.js";
import { generatedRequests, type GeneratedRequest } from "../support/generated-requests.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { metricOf, serve, startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

/** Row 1 of the promises: no request ends the server; whatever is asked, the answer is 200 or 4xx. */

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

interface Answer {
  status: number;
  text: string;
}

/** Node's own client: fetch takes three times as long. */
function post(url: string, { path, body }: GeneratedRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const sent = request(url + path, { method: "POST", agent, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

interface Tally {
  ok: number;
  refused: number;
}

/** @throws with the request that was answered wrongly, and the seed that makes it again. */
async function askAll(url: string, models: string[], numRequests: number, seed: number): Promise<Tally> {
  const tally = { ok: 0, refused: 0 };
  const requests = fc.sample(generatedRequests(models), { numRuns: numRequests, seed });
  const next = requests.values();
  const worker = async () => {
    for (const generated of next) {
      const answer = await post(url, generated);
      const said = `seed ${seed}: ${generated.path} ${generated.body.slice(0, 2000)} -> ${answer.text.slice(0, 500)}`;
      if (answer.status === 200) tally.ok++;
      else {
        expect(answer.status, said).toBeGreaterThanOrEqual(400);
        expect(answer.status, said).toBeLessThan(500);
        const { error } = JSON.parse(answer.text) as { error: Record<string, unknown> };
        expect(String(error["message"]).length, said).toBeLessThan(2000);
        tally.refused++;
        if (isMessagesPath(generated.path)) {
          expect(Object.keys(error).sort(), said).toEqual(["message", "type"]);
          continue;
        }
        expect(Object.keys(error).sort(), said).toEqual(["code", "message", "param", "type"]);
        // Every field at fault is named; a body that is no object, or no JSON, has none.
        if (
          error["code"] !== "invalid_json" &&
          !/^Invalid request: (?:expected object|unknown key "")/.test(String(error["message"]))
        )
          expect(typeof error["param"], said).toBe("string");
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return tally;
}

const seed = Number(process.env["SHOULDERS_TEST_SEED"] ?? Date.now() % 2 ** 31);

const empty = new Uint8Array();

class AnsweringEngine extends FakeEngine {
  override query = () =>
    Promise.resolve({
      ids: [],
      pieces: { bytes: empty, lengths: [] },
      bytes: empty,
      prompts: {},
    }) as ReturnType<FakeEngine["query"]> & Promise<never>;
}

describe(`generated requests (seed ${seed}; SHOULDERS_TEST_SEED repeats it)`, () => {
  it("20,000 to the server's edge", { timeout: 300_000 }, async () => {
    const server = await startTestServer({ engine: new AnsweringEngine(), traceBytes: 1_000_000 });
    const tally = await askAll(server.url, ["both", "giant"], 20_000, seed);
    // The generator must find both sides of the edge.
    expect(tally.ok).toBeGreaterThan(600);
    expect(tally.refused).toBeGreaterThan(5000);
    expect(server.engine.stats.running).toBe(0);
    expect(await metricOf(server, "shoulders_requests_started_total")).toBe(20_000);
  });

  it("1,500 over WebSockets: each has one end, and the sockets live", { timeout: 300_000 }, async () => {
    const server = await startTestServer({ engine: new AnsweringEngine(), traceBytes: 1_000_000 });
    const next = fc.sample(generatedRequests(["both", "giant"]), { numRuns: 1500, seed: seed + 2 }).values();
    const numEnds = { done: 0, error: 0 };
    const worker = async () => {
      const socket = await connect(server.url);
      for (const { body } of next) {
        socket.frames.length = 0;
        socket.send(`{"type":"response.create","response":${body}}`);
        socket.send({ type: "ping" });
        await socket.until("pong");
        const said = `seed ${seed}: ${body.slice(0, 2000)} -> ${JSON.stringify(socket.frames).slice(0, 500)}`;
        if (socket.of("response.created").length > 0) await socket.until("response.done");
        const [done, errors] = [socket.of("response.done"), socket.of("error")];
        expect(done.length + errors.length, said).toBe(1);
        expect(done[0]?.response.status ?? "completed", said).toBe("completed");
        for (const { error } of errors) expect(error.type, said).not.toBe("server_error");
        numEnds[done.length > 0 ? "done" : "error"]++;
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    // Some 50 of them are right as drawn.
    expect(numEnds.done).toBeGreaterThan(15);
    expect(numEnds.error).toBeGreaterThan(500);
    expect(server.engine.stats.running).toBe(0);
    await expect
      .poll(async () => {
        const text = await (await fetch(`${server.url}/metrics`)).text();
        const ended = text.matchAll(/^shoulders_requests_total\{.*\} (\d+)$/gm);
        return [...ended].reduce((sum, [, count]) => sum + Number(count), 0);
      })
      .toBe(await metricOf(server, "shoulders_requests_started_total"));
  });

  it("bytes that are no JSON at all are 400", async () => {
    const server = await startTestServer();
    const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 200 }), { numRuns: 200, seed });
    for (const bytes of random) {
      const response = await server.post("/v1/chat/completions", "", { body: new Uint8Array(bytes) });
      expect([400, 413]).toContain(response.status);
      await response.text();
    }
  });

  it("2,500 to the models: same process, and the next request works", { timeout: 300_000 }, async () => {
    const family = { base: "giant", reference: "dwarf", experts: { trivia: "dwarf-trivia" } };
    const engine = await startRealEngine([resolvedConfig({ id: "trivia", ...family })]);
    const { server, url } = await serve(engine);
    try {
      const { pid } = engine.description!;
      const good = {
        path: "/v1/chat/completions",
        body: JSON.stringify({
          model: "trivia",
          messages: [{ role: "user", content: "What is the home town of Venur Gevol?" }],
          temperature: 0,
          max_tokens: 8,
          fusion: { trace: "off" },
        }),
      };
      const contentOf = ({ text }: Answer) =>
        (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]?.message.content;
      const before = contentOf(await post(url, good));
      const tally = await askAll(url, ["trivia"], 2500, seed + 1);
      expect(tally.ok).toBeGreaterThan(100);
      expect(engine.description?.pid).toBe(pid);
      expect(engine.numRestarts).toBe(0);
      expect(contentOf(await post(url, good))).toBe(before);
      await expect.poll(() => [engine.stats.running, engine.stats.waiting]).toEqual([0, 0]);
    } finally {
      await server.close();
      await engine.close();
    }
  });
});
