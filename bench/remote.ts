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

const numItems = 100;
const drawn = { sampling: { ...greedy, temperature: 1 }, seed: 5 };

interface Asked {
  answers: Answer[];
  /** Milliseconds a token. */
  ms: number;
}

type Answers = Map<string, Asked>;

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
    for (const [name, base] of bases) {
      const engine = await startRealEngine(tasks.map((task) => familyConfig(task, base && { base })));
      asked.set(name, await askAll(engine).finally(() => engine.close()));
    }
    return report(asked);
  } finally {
    await Promise.all([rows.close(), vllm.close(), sglang.close()]);
    await giant.close();
  }
}

/** One after the other: batches of the same shape give the same bits. */
async function askAll(engine: Engine): Promise<Answers> {
  const all: Answers = new Map();
  for (const task of tasks)
    for (const [way, options] of [
      ["greedy", {}],
      ["drawn", drawn],
    ] as const) {
      const answers: Answer[] = [];
      const startMs = performance.now();
      for (const request of taskRequests(task, numItems, options))
        answers.push(await answer(engine, request));
      const numTokens = sum(answers.map(({ ids }) => ids.length));
      all.set(`${task} ${way}`, { answers, ms: (performance.now() - startMs) / numTokens });
    }
  return all;
}

const usageOf = ({ done }: Answer) => done.usage.fusion;
const share = (part: number, whole: number) => (whole === 0 ? 1 : part / whole);

function report(asked: ReadonlyMap<string, Answers>): PartResult {
  const here = asked.get("here") as Answers;
  const of = (name: string) => [...(asked.get(name) as Answers)];
  const equal = (name: string) => {
    const pairs = of(name).flatMap(([key, { answers }]) =>
      answers.map((one, index) => [one, here.get(key)!.answers[index]!] as const),
    );
    return share(pairs.filter(([one, other]) => one.ids.join() === other.ids.join()).length, pairs.length);
  };
  const certified = (name: string) => {
    const usages = of(name).flatMap(([, { answers }]) => answers.map(usageOf));
    const numTokens = sum(usages.map(({ tokens, certain }) => tokens + certain));
    return 1 - share(sum(usages.map(({ uncertified }) => uncertified)), numTokens);
  };
  const trips = (name: string, task: Task) => {
    const usages = asked.get(name)!.get(`${task} greedy`)!.answers.map(usageOf);
    return share(
      sum(usages.map(({ basePasses }) => basePasses)),
      sum(usages.map(({ tokens, certain }) => tokens + certain)),
    );
  };
  const added = of("rows, whole").map(([key, { ms }]) => ms - here.get(key)!.ms);
  const names = [...asked.keys()];
  return {
    values: {
      rows_equal: equal("rows, whole"),
      remote_certified: Math.min(certified("vllm"), certified("sglang")),
      remote_trips: trips("vllm", "headline"),
      rows_added_ms: median(added),
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
