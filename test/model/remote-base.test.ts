import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
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

it("a token that a grammar leaves to entries which did not come is not called certain", async () => {
  const grammar = 'root ::= "Qzx!"';
  const base: BasePart = { kind: "vllm", url: vllm.url, model: "giant" };
  const remote = await startRealEngine([familyConfig("recall", { base })]);
  const [request] = taskRequests("recall", 1, { grammar });
  const { text, done } = await answer(remote, request!);
  await remote.close();
  expect(text).toBe("Qzx!");
  expect(done.usage.fusion).toMatchObject({ unknown: 1 });
  expect(done.usage.fusion.uncertified).toBeGreaterThan(0);
  const [again] = taskRequests("recall", 1, { grammar });
  expect((await answer(local, again!)).done.usage.fusion.uncertified).toBe(0);
});

describe.each(bases)("a base on %s", (_name, baseOf) => {
  let remote: Engine;
  beforeAll(async () => {
    remote = await startRealEngine(tasks.map((task) => familyConfig(task, { base: baseOf() })));
  });
  afterAll(() => remote.close());

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
});
