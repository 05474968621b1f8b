import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ServerOptions } from "../../src/api/server.js";
import { hashOf } from "../../src/config/api-keys.js";
import type { PoliciesConfig } from "../../src/config/policies.js";
import { PostgresStore } from "../../src/store/postgres-store.js";
import type { Policies } from "../../src/wire/feedback.js";
import { answering, FakeEngine, Gate } from "../support/fake-engine.js";
import { lacksPostgres, TestPostgres } from "../support/postgres.js";
import { startTestServer, type TestServer } from "../support/server.js";

/** Two servers whose ratings, responses and limits are in one real database. */

const policies: PoliciesConfig = {
  arms: { giant: { type: "base" }, trivia: { type: "static", weights: { trivia: 1 }, plausibility: null } },
  choose: "tsallis-inf",
  explore: 0,
  halfLife: 20,
};

let postgres: TestPostgres;
beforeAll(async () => {
  if (lacksPostgres) return;
  postgres = new TestPostgres();
  await postgres.start();
});
afterAll(async () => {
  if (!lacksPostgres) await postgres.remove();
});

const key = "key-of-ann-0123456789";

function start(url: string, options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const engine = new FakeEngine();
  const { description } = engine;
  const configs = description!.configs.map((config) =>
    config.id === "both" ? { ...config, policies } : config,
  );
  engine.description = { ...description!, configs };
  return startTestServer({ engine, store: new PostgresStore(url), purgeEveryMs: 200, ...options });
}

async function two(options: Partial<ServerOptions> = {}): Promise<[TestServer, TestServer]> {
  const url = await postgres.newDatabase();
  return [await start(url, options), await start(url, options)];
}

async function call<Body>(server: TestServer, method: string, path: string, body?: object): Promise<Body> {
  const sent = {
    method,
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
    ...(body && { body: JSON.stringify(body) }),
  };
  return (await (await fetch(server.url + path, sent)).json()) as Body;
}

interface Answer {
  id: string;
  choices: { fusion: { policy: { id: string; probability: number } } }[];
}

const ask = (server: TestServer, content = "hi") =>
  call<Answer>(server, "POST", "/v1/chat/completions", {
    model: "both",
    messages: [{ role: "user", content }],
  });
const policyOf = ({ choices }: Answer) => choices[0]!.fusion.policy;
const rate = (server: TestServer, trace: string, score: number) =>
  call<{ score?: number; error?: { code: string } }>(server, "POST", "/v1/fusion/feedback", { trace, score });
/** The answer of another server: it has not waited until it can be known of here. */
const rateSoon = (server: TestServer, trace: string, score: number) =>
  expect.poll(() => rate(server, trace, score)).toMatchObject({ score });
const standing = (server: TestServer) => call<Policies>(server, "GET", "/v1/fusion/policies/both");
const readiness = (server: TestServer) =>
  call<{ status: string; feedback: { status: string; reason?: string } }>(server, "GET", "/readyz");

/** What a server would draw `giant` with, by what it has been told. */
async function probabilityOfGiant(server: TestServer): Promise<number> {
  const { id, probability } = policyOf(await ask(server));
  return id === "giant" ? probability : 1 - probability;
}

describe.skipIf(lacksPostgres)("servers that share a database", () => {
  it("fold the same log: each rates what the other answered, and both draw alike", async () => {
    const servers = await two();
    for (let index = 0; index < 40; index++) {
      const answer = await ask(servers[index % 2]!, `question ${index}`);
      const score = policyOf(answer).id === "trivia" ? 1 : 0;
      await rateSoon(servers[(index >> 1) % 2]!, answer.id, score);
    }
    const [one, other] = [await standing(servers[0]), await standing(servers[1])];
    expect(one).toEqual(other);
    expect(one.ratings).toBe(40);
    expect(one.policies[1]!.probability).toBeGreaterThan(0.7);
  });

  it("tell each other: a rating, a pin, and what is forgotten or taken back count at once", async () => {
    const [one, other] = await two();
    expect(await probabilityOfGiant(other)).toBe(0.5);
    const answer = await ask(one);
    await rate(one, answer.id, 0);
    await expect.poll(() => probabilityOfGiant(other)).not.toBe(0.5);
    expect(await probabilityOfGiant(other)).toBeCloseTo((await standing(one)).policies[0]!.probability, 5);
    await call(other, "DELETE", `/v1/fusion/feedback/${answer.id}`);
    await expect.poll(() => probabilityOfGiant(one)).toBe(0.5);
    await rateSoon(one, (await ask(other)).id, 0);
    await expect.poll(() => probabilityOfGiant(other)).not.toBe(0.5);
    await call(one, "POST", "/v1/fusion/policies/both", { pin: "trivia" });
    await expect.poll(async () => policyOf(await ask(other))).toEqual({ id: "trivia", probability: 1 });
    await call(one, "POST", "/v1/fusion/policies/both", { pin: null });
    await call(one, "DELETE", "/v1/fusion/feedback");
    await expect.poll(() => probabilityOfGiant(other)).toBe(0.5);
    expect((await standing(other)).ratings).toBe(0);
  });

  it("go on with each other's responses", async () => {
    const [one, other] = await two();
    const first = await call<{ id: string }>(one, "POST", "/v1/responses", { model: "both", input: "hi" });
    // No answer waits until it is kept.
    const kept = async () => (await call<{ id?: string }>(other, "GET", `/v1/responses/${first.id}`)).id;
    await expect.poll(kept).toBe(first.id);
    await call(other, "POST", "/v1/responses", {
      model: "both",
      input: "and?",
      previous_response_id: first.id,
    });
    expect(other.engine.submitted.at(-1)?.prompt).toMatchObject({
      messages: [{ content: "hi" }, { role: "assistant", content: "Hello world" }, { content: "and?" }],
    });
  });

  it("share a key's limit of requests at a time", async () => {
    const access = { keys: [{ name: "ann", sha256: hashOf(key) }], concurrentRequests: 1 };
    const [one, other] = await two({ access });
    const gate = new Gate();
    one.engine.script = () => [gate, ...answering("late")];
    const running = ask(one);
    await expect.poll(() => one.engine.submitted.length).toBe(1);
    const statusOf = async () =>
      (await call<{ error?: { code: string } }>(other, "GET", "/v1/models")).error?.code;
    await expect.poll(statusOf).toBe("rate_limited");
    gate.open();
    await running;
    await expect.poll(statusOf).toBe(undefined);
  });
});

describe.skipIf(lacksPostgres)("a database that goes away", () => {
  it("turns feedback off and says so; answers go on; when it is back, so is all that was said to be safe", async () => {
    const database = new TestPostgres();
    try {
      await database.start();
      const server = await start(await database.newDatabase());
      const answer = await ask(server);
      expect(await rate(server, answer.id, 0.25)).toMatchObject({ score: 0.25 });
      await database.stop();
      expect(await rate(server, answer.id, 1)).toMatchObject({ error: { code: "store_unavailable" } });
      expect(await readiness(server)).toMatchObject({
        status: "ok",
        feedback: { status: "off", reason: expect.stringMatching("--database-url") as string },
      });
      expect((await ask(server)).id).toMatch(/^chatcmpl-/);
      await database.start();
      await expect.poll(() => readiness(server)).toMatchObject({ feedback: { status: "on" } });
      expect(await call(server, "GET", `/v1/fusion/feedback/${answer.id}`)).toMatchObject({ score: 0.25 });
      expect(await rate(server, answer.id, 1)).toMatchObject({ score: 1 });
      await server.close();
    } finally {
      await database.remove();
    }
  });

  it("or hangs holds no answer up, is told as well, and is come back to", async () => {
    const database = new TestPostgres();
    try {
      await database.start();
      const [url, later] = [await database.newDatabase(), await database.newDatabase()];
      const server = await start(url);
      await rate(server, (await ask(server)).id, 1);
      database.signal("SIGSTOP");
      // Another, which has not read anything yet.
      const fresh = await start(later);
      const begun = performance.now();
      for (const one of [server, fresh]) expect((await ask(one)).id).toMatch(/^chatcmpl-/);
      // The database itself is given 5 s.
      expect(performance.now() - begun).toBeLessThan(4000);
      await expect.poll(() => readiness(server)).toMatchObject({ feedback: { status: "off" } });
      database.signal("SIGCONT");
      await expect.poll(() => readiness(server)).toMatchObject({ feedback: { status: "on" } });
      expect((await standing(server)).ratings).toBe(1);
      await Promise.all([server.close(), fresh.close()]);
    } finally {
      await database.remove();
    }
  });
});
