import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mixtureOf, scoreAnswer } from "../../src/calibration/ask.js";
import type { Engine } from "../../src/protocol/protocol.js";
import type { ComponentConfig } from "../../src/strategies/fields.js";
import type { RunningRowServer } from "../../src/row-server/server.js";
import { greedy } from "../support/fake-models.js";
import { answer, startRealEngine } from "../support/real-engine.js";
import {
  type BasePart,
  familyConfig,
  openGiant,
  taskRequests,
  tasks,
  urlOf,
} from "../support/remote-bases.js";
import type { StandIn } from "../support/stand-in-base.js";
import { serveSglang } from "../support/stand-in-sglang.js";
import { serveVllm } from "../support/stand-in-vllm.js";
import { expectSameButTies } from "../support/ties.js";

const numItems = 6;
type Asked = ReturnType<typeof taskRequests>;
const drawing = { sampling: { ...greedy, temperature: 1 }, seed: 5 };

let giant: Awaited<ReturnType<typeof openGiant>>;
let rows: RunningRowServer;
let vllm: StandIn;
let sglang: StandIn;
let local: Engine;

beforeAll(async () => {
  giant = await openGiant();
  rows = await giant.serveRows({ numSequences: 64 });
  vllm = await serveVllm(giant.standIn());
  sglang = await serveSglang(giant.standIn());
  local = await startRealEngine(tasks.map((task) => familyConfig(task)));
});

afterAll(async () => {
  await local.close();
  await Promise.all([rows.close(), vllm.close(), sglang.close()]);
  await giant.close();
});

const bases: [name: string, () => BasePart][] = [
  ["a row server, whole rows", () => ({ kind: "shoulders", url: urlOf(rows) })],
  ["a row server, 20 entries", () => ({ kind: "shoulders", url: urlOf(rows), top: 20 })],
  ["vLLM", () => ({ kind: "vllm", url: vllm.url, model: "giant" })],
  ["SGLang", () => ({ kind: "sglang", url: sglang.url })],
];

/** Tokens that neither base nor expert would come to by themselves. */
const grammar = 'root ::= ("Qzx" | "Wyv" | "Jork") [!?]';

it("a token that a grammar leaves to entries which did not come is not called certain", async () => {
  const old = await serveVllm(giant.standIn(), { knowsTokenIds: false });
  const base: BasePart = { kind: "vllm", url: old.url, model: "giant" };
  const remote = await startRealEngine([familyConfig("recall", { base })]);
  const [request] = taskRequests("recall", 1, { grammar });
  const { text, done } = await answer(remote, request!);
  await remote.close();
  await old.close();
  expect(text).toMatch(/^(?:Qzx|Wyv|Jork)[!?]$/);
  expect(done.usage.fusion).toMatchObject({ unknown: 1 });
  expect(done.usage.fusion.uncertified).toBeGreaterThan(0);
});

describe.each(bases)("a base on %s", (_name, baseOf) => {
  let remote: Engine;
  beforeAll(async () => {
    remote = await startRealEngine(tasks.map((task) => familyConfig(task, { base: baseOf() })));
  });
  afterAll(() => remote.close());

  it("what a grammar allows is asked for where the fusion leaves none of it", async () => {
    for (const options of [{ grammar }, { grammar, ...drawing }]) {
      const asked = [0, 1].map(() => taskRequests("recall", numItems, options)) as [Asked, Asked];
      const here = await Promise.all(asked[0].map((request) => answer(local, request)));
      const there = await Promise.all(asked[1].map((request) => answer(remote, request)));
      expect(there.map(({ text }) => text)).toEqual(here.map(({ text }) => text));
      for (const { done } of there) expect(done.usage.fusion).toMatchObject({ uncertified: 0, unknown: 0 });
    }
  });

  it.each(tasks)("answers as the base here does: %s", async (task) => {
    for (const options of [{}, drawing]) {
      const asked = [taskRequests(task, numItems, options), taskRequests(task, numItems, options)] as const;
      const here = await Promise.all(asked[0].map((request) => answer(local, request)));
      const there = await Promise.all(asked[1].map((request) => answer(remote, request)));
      here.forEach((one, index) => {
        const other = there[index]!;
        expect(other.done.usage.fusion.uncertified, `${task} ${index}`).toBe(0);
        if (options === drawing) expect(other.text, `${task} ${index}`).toBe(one.text);
        else expectSameButTies(one, other, `${task} ${index}`);
      });
    }
  });

  it("scores given answers under several settings as the base here does, by one reading", async () => {
    const sets = [
      { ratio: 0.1, of: "gated" },
      { ratio: 0.02, of: "expert" },
      { ratio: 0.1, of: "joint" },
      null,
    ];
    const settings = sets.map(
      (plausibility) => ({ kind: "fused", weight: 1, plausibility }) as ComponentConfig,
    );
    for (const task of ["recall", "headline"] as const) {
      const strategies = settings.map((one) => mixtureOf({ [task]: 1 }, { [task]: one }));
      const by = { strategies, expert: task };
      const scores = await Promise.all(
        taskRequests(task, numItems).map(async (request) => {
          const { ids } = await answer(local, request);
          const given = { prompt: request.prompt, tokens: ids.slice(0, -1) };
          const scoreIn = (engine: Engine) =>
            scoreAnswer({ engine, configId: task, signal: new AbortController().signal }, given, by);
          return { here: await scoreIn(local), there: await scoreIn(remote) };
        }),
      );
      const agreed = (of: "here" | "there") => scores.map((one) => one[of].map(({ numAgreed }) => numAgreed));
      expect(agreed("there")).toEqual(agreed("here"));
      // The settings differ in what they make of these answers.
      expect(new Set(agreed("here").flat()).size).toBeGreaterThan(2);
    }
  });
});
