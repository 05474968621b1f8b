import { greedy } from "../test/support/fake-models.js";
import { type Answer, answer, startRealEngine } from "../test/support/real-engine.js";
import {
  type BasePart,
  familyConfig,
  openGiant,
  type Task,
  taskRequests,
  tasks,
  urlOf,
} from "../test/support/remote-bases.js";
import { serveSglang } from "../test/support/stand-in-sglang.js";
import { serveVllm } from "../test/support/stand-in-vllm.js";
import type { Engine } from "../src/protocol/protocol.js";
import type { PartResult } from "./report.js";
import { median, sum } from "./statistics.js";

/** The shipped configs with their base on a server of this process, against the same with their base here. */

export const numItems = 100;
const drawn = { sampling: { ...greedy, temperature: 1 }, seed: 5 };

/** Answers by task and way. */
export type Answers = Map<string, Answer[]>;

export async function benchRemote(): Promise<PartResult> {
  const giant = await openGiant();
  const rows = await giant.serveRows({ numSequences: 64 });
  const [vllm, sglang] = [await serveVllm(giant.standIn()), await serveSglang(giant.standIn())];
  const bases: [name: string, base: BasePart | undefined][] = [
    ["here", undefined],
    ["rows, whole", { kind: "shoulders", url: urlOf(rows) }],
    ["rows, 20 entries", { kind: "shoulders", url: urlOf(rows), top: 20 }],
    ["vllm", { kind: "vllm", url: vllm.url, model: "giant" }],
    ["sglang", { kind: "sglang", url: sglang.url }],
  ];
  try {
    const asked = new Map<string, Answers>();
    const start = (base?: BasePart) =>
      startRealEngine(tasks.map((task) => familyConfig(task, base && { base })));
    for (const [name, base] of bases) {
      const engine = await start(base);
      asked.set(name, await askAll(engine).finally(() => engine.close()));
    }
    const [here, there] = [await start(), await start({ kind: "shoulders", url: urlOf(rows) })];
    const added = await addedMs(here, there).finally(() => Promise.all([here.close(), there.close()]));
    return report(asked, added);
  } finally {
    await Promise.all([rows.close(), vllm.close(), sglang.close()]);
    await giant.close();
  }
}

/** One after the other: batches of the same shape give the same bits. */
export async function askAll(engine: Engine): Promise<Answers> {
  const all: Answers = new Map();
  for (const task of tasks)
    for (const [way, options] of [
      ["greedy", {}],
      ["drawn", drawn],
    ] as const) {
      const answers: Answer[] = [];
      for (const request of taskRequests(task, numItems, options))
        answers.push(await answer(engine, request));
      all.set(`${task} ${way}`, answers);
    }
  return all;
}

const numRounds = 21;
const numTokens = 64;

/** Milliseconds a token that one engine takes longer than another: the median of rounds in turns, without guesses. */
export async function addedMs(here: Engine, there: Engine): Promise<number> {
  const perToken = async (engine: Engine) => {
    const [request] = taskRequests("headline", 1, {
      speculation: "off",
      maxTokens: numTokens,
      minTokens: numTokens,
    });
    const startMs = performance.now();
    const { ids } = await answer(engine, request!);
    return (performance.now() - startMs) / ids.length;
  };
  const differences: number[] = [];
  for (let round = 0; round < numRounds; round++) {
    const ms = await perToken(here);
    differences.push((await perToken(there)) - ms);
  }
  return median(differences);
}

export function equalShare(here: Answers, there: Answers): number {
  const pairs = [...there].flatMap(([key, answers]) =>
    answers.map((one, index) => [one, here.get(key)![index]!] as const),
  );
  return share(pairs.filter(([one, other]) => one.ids.join() === other.ids.join()).length, pairs.length);
}

const usageOf = ({ done }: Answer) => done.usage.fusion;
const share = (part: number, whole: number) => (whole === 0 ? 1 : part / whole);

function report(asked: ReadonlyMap<string, Answers>, added: number): PartResult {
  const here = asked.get("here") as Answers;
  const of = (name: string) => [...(asked.get(name) as Answers)];
  const equal = (name: string) => equalShare(here, asked.get(name)!);
  const certified = (name: string) => {
    const usages = of(name).flatMap(([, answers]) => answers.map(usageOf));
    const numTokens = sum(usages.map(({ tokens, certain }) => tokens + certain));
    return 1 - share(sum(usages.map(({ uncertified }) => uncertified)), numTokens);
  };
  const trips = (name: string, task: Task) => {
    const usages = asked.get(name)!.get(`${task} greedy`)!.map(usageOf);
    return share(
      sum(usages.map(({ basePasses }) => basePasses)),
      sum(usages.map(({ tokens, certain }) => tokens + certain)),
    );
  };
  const names = [...asked.keys()];
  return {
    values: {
      rows_equal: equal("rows, whole"),
      remote_certified: Math.min(certified("vllm"), certified("sglang")),
      remote_trips: trips("vllm", "headline"),
      rows_added_ms: added,
    },
    tables: [
      {
        title: "A base on another server",
        workload: `${numItems} items of each shipped task, greedy and drawn with a seed, one after the other; K = 20, up to 4 guesses`,
        head: [
          "base",
          "answers equal to those here",
          "certified tokens",
          ...tasks.map((task) => `trips a token, ${task}`),
        ],
        rows: names.map((name) => [
          name,
          equal(name),
          certified(name),
          ...tasks.map((task) => trips(name, task)),
        ]),
      },
    ],
  };
}
