import { expect, it, onTestFinished } from "vitest";
import type { PoliciesConfig } from "../../src/config/policies.js";
import { MemoryStore } from "../../src/store/memory-store.js";
import { SqliteStore } from "../../src/store/sqlite-store.js";
import type { Policies } from "../../src/wire/feedback.js";
import { FakeEngine } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const policies: PoliciesConfig = {
  arms: { giant: { type: "base" }, trivia: { type: "static", weights: { trivia: 1 }, plausibility: null } },
  choose: "tsallis-inf",
  explore: 0,
  halfLife: null,
};

function start(
  options: Partial<PoliciesConfig> = {},
  store = new MemoryStore() as MemoryStore | SqliteStore,
) {
  const engine = new FakeEngine();
  const { description } = engine;
  const configs = description!.configs.map((config) =>
    config.id === "both" ? { ...config, policies: { ...policies, ...options } } : config,
  );
  engine.description = { ...description!, configs };
  return startTestServer({ engine, store });
}

interface Answer {
  id: string;
  error?: { param: string; code: string };
  choices: { fusion?: { policy?: { id: string; probability: number } } }[];
}

const user = (content: string) => ({ role: "user", content });

async function ask(server: TestServer, fields: object = {}): Promise<Answer> {
  const body = { model: "both", messages: [user("hi")], ...fields };
  return (await (await server.post("/v1/chat/completions", body)).json()) as Answer;
}

const policyOf = ({ choices }: Answer) => choices[0]!.fusion!.policy!;
const rate = (server: TestServer, trace: string, score: number) =>
  server.post("/v1/fusion/feedback", { trace, score });

async function standing(server: TestServer, method = "GET", body?: object): Promise<Policies> {
  const sent = {
    method,
    headers: { "Content-Type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  };
  return (await (await fetch(`${server.url}/v1/fusion/policies/both`, sent)).json()) as Policies;
}

it("an answer is drawn by a policy, says so, and ratings move what is drawn next", async () => {
  const server = await start();
  const seen = new Set<string>();
  for (let index = 0; index < 60; index++) {
    const answer = await ask(server, { messages: [user(`question ${index}`)] });
    const { id } = policyOf(answer);
    seen.add(id);
    const { strategy } = server.engine.submitted.at(-1)!;
    expect(strategy).toEqual(policies.arms[id]);
    await rate(server, answer.id, id === "trivia" ? 1 : 0);
  }
  expect(seen).toEqual(new Set(["giant", "trivia"]));
  const told = await standing(server);
  expect(told).toMatchObject({
    model: "both",
    choose: "tsallis-inf",
    half_life: null,
    pinned: null,
    ratings: 60,
  });
  const [giant, trivia] = told.policies;
  expect(trivia!.probability).toBeGreaterThan(0.7);
  expect(giant!.probability + trivia!.probability).toBeCloseTo(1, 5);
  expect(giant).toMatchObject({ mean: 0 });
  expect(trivia).toMatchObject({ mean: 1, high: 1 });
  expect(giant!.ratings + trivia!.ratings).toBe(60);
  expect(told.regret_bound).toBeGreaterThan(0);
  expect(told.history[0]).toEqual({ ratings: 0, probabilities: { giant: 0.5, trivia: 0.5 } });
  expect(told.history.at(-1)).toEqual({
    ratings: 60,
    probabilities: { giant: giant!.probability, trivia: trivia!.probability },
  });
});

it("a conversation keeps its policy", async () => {
  const server = await start();
  for (let index = 0; index < 8; index++) {
    const first = user(`conversation ${index}`);
    const begun = policyOf(await ask(server, { messages: [first] }));
    const later = [first, { role: "assistant", content: "yes" }, user("and?")];
    expect(policyOf(await ask(server, { messages: later }))).toEqual(begun);
    const named = { metadata: { conversation: `named ${index}` } };
    const one = policyOf(await ask(server, { ...named, messages: [user("a")] }));
    expect(policyOf(await ask(server, { ...named, messages: [user("b")] }))).toEqual(one);
  }
});

it("a policy may be asked for; such ratings are counted and weigh nothing", async () => {
  const server = await start();
  for (let index = 0; index < 5; index++) {
    const answer = await ask(server, { fusion: { policy: "giant" } });
    expect(policyOf(answer)).toEqual({ id: "giant", probability: 1 });
    await rate(server, answer.id, 0);
  }
  const { ratings, policies: arms } = await standing(server);
  expect(ratings).toBe(0);
  expect(arms).toMatchObject([
    { id: "giant", probability: 0.5, ratings: 5, mean: 0 },
    { id: "trivia", probability: 0.5, ratings: 0, mean: null },
  ]);
});

it("a strategy of the request's own takes no part; what is not there is refused", async () => {
  const server = await start();
  const own = await ask(server, { fusion: { weights: { trivia: 0.5 } } });
  expect(own.choices[0]).not.toHaveProperty("fusion");
  for (const fields of [
    { fusion: { policy: "nobody" } },
    { fusion: { policy: "giant", weights: { trivia: 1 } } },
    { model: "giant", fusion: { policy: "auto" } },
  ])
    expect((await ask(server, fields)).error).toMatchObject({ param: "fusion.policy" });
  expect((await fetch(`${server.url}/v1/fusion/policies/giant`)).status).toBe(404);
});

it("a pinned policy answers until it is let go; forgetting leaves nothing; all outlive a restart", async () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  const open = () => start({}, new SqliteStore(directory.file("log.db")));
  const before = await open();
  const rated = await ask(before, { fusion: { policy: "auto" } });
  await rate(before, rated.id, 0);
  expect(await standing(before, "POST", { pin: "trivia" })).toMatchObject({
    pinned: "trivia",
    policies: [{ probability: 0 }, { probability: 1 }],
  });
  const weights = (await standing(before, "POST", { pin: null })).policies;
  await standing(before, "POST", { pin: "trivia" });
  await before.close();
  const after = await open();
  for (let index = 0; index < 5; index++)
    expect(policyOf(await ask(after))).toEqual({ id: "trivia", probability: 1 });
  expect((await standing(after, "POST", { pin: null })).policies).toEqual(weights);
  await standing(after, "DELETE");
  expect(await standing(after)).toMatchObject({
    ratings: 0,
    policies: [
      { probability: 0.5, ratings: 0 },
      { probability: 0.5, ratings: 0 },
    ],
  });
  expect((await standing(after, "POST", { pin: "nobody" })) as object).toMatchObject({
    error: { param: "pin" },
  });
});

it("unrated answers, and a rating that was changed and changed back, or taken back, change nothing", async () => {
  const server = await start();
  const answers: Answer[] = [];
  for (let index = 0; index < 6; index++) answers.push(await ask(server));
  for (const [index, { id }] of answers.slice(0, 3).entries()) await rate(server, id, index / 2);
  const before = (await standing(server)).policies;
  await rate(server, answers[0]!.id, 1);
  await rate(server, answers[3]!.id, 1);
  expect((await standing(server)).policies).not.toEqual(before);
  await rate(server, answers[0]!.id, 0);
  await fetch(`${server.url}/v1/fusion/feedback/${answers[3]!.id}`, { method: "DELETE" });
  expect((await standing(server)).policies).toEqual(before);
});

it("one policy alone is no choice: it is what its strategy is", async () => {
  const server = await start({ arms: { giant: { type: "base" } } });
  expect(policyOf(await ask(server))).toEqual({ id: "giant", probability: 1 });
  expect(server.engine.submitted.at(-1)!.strategy).toEqual({ type: "base" });
});
