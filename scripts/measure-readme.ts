import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import pino from "pino";
import { parseFusionConfig } from "../src/config/load.js";
import type { StrategyConfig } from "../src/config/fusion-config.js";
import { startEngine } from "../src/engine/client.js";
import { plainRequest } from "../src/engine/protocol.js";
import type { Engine, ResolvedFusionConfig } from "../src/engine/protocol.js";
import { readmePath, replaceSection, root } from "./generated-docs.js";

/**
 * `npm run build && npx tsx scripts/measure-readme.ts`: exact match of the shipped family on its two sets of
 * 120 unseen questions, under every strategy of the README's table; writes that table and the traced request.
 */

interface Item {
  prompt: string;
  answer: string;
}

type Task = "recall" | "sums";
const tasks: Task[] = ["recall", "sums"];
const taskToExpert = { recall: "trivia", sums: "sums" } as const;
/** An answer is one line of at most 40 tokens, greedily chosen. */
const maxTokens = 40;
const numSequences = 8;

const read = (task: Task): Item[] =>
  readFileSync(path.join(root, "models", `${task}.jsonl`), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Item);

/** Recall compares the text (the giant closes its sentences: a full stop is not counted), sums the number after `####`. */
function isRight(task: Task, answer: string, expected: string): boolean {
  if (task === "recall") return answer.trim().replace(/\.$/, "") === expected;
  const number = (text: string): string | undefined => /#### *(-?\d+)/.exec(text)?.[1];
  return number(answer) !== undefined && number(answer) === number(expected);
}

const modelPath = (name: string): string => path.join(root, "models", `${name}.gguf`);

function resolved(id: string, base: string, experts: string[]): ResolvedFusionConfig {
  const written = {
    id,
    base: modelPath(base),
    ...(experts.length > 0 ? { reference: modelPath("dwarf") } : {}),
    experts: experts.map((expert) => ({ id: expert, model: modelPath(`dwarf-${expert}`) })),
    context: { tokens: 512, sequences: numSequences },
    sampling: { temperature: 0 },
  };
  return {
    config: parseFusionConfig(JSON.stringify(written), id).config,
    basePath: modelPath(base),
    referencePath: experts.length > 0 ? modelPath("dwarf") : null,
    expertPaths: experts.map((expert) => modelPath(`dwarf-${expert}`)),
  };
}

const configs = [
  resolved("trivia", "giant", ["trivia"]),
  resolved("sums", "giant", ["sums"]),
  resolved("both", "giant", ["trivia", "sums"]),
  resolved("trivia-alone", "dwarf-trivia", []),
  resolved("sums-alone", "dwarf-sums", []),
];

type Plausibility = { ratio: number; of: "joint" | "expert" } | null;
const joint: Plausibility = { ratio: 0.1, of: "joint" };
const expertOnly: Plausibility = { ratio: 0.1, of: "expert" };

interface Row {
  name: string;
  configId: (expert: string) => string;
  strategy: (expert: string) => StrategyConfig;
}

const solved = (name: string, plausibility: Plausibility): Row => ({
  name,
  configId: (expert) => expert,
  strategy: () => ({ type: "dynamic", solver: "exact", plausibility }),
});
const fixed = (name: string, plausibility: Plausibility): Row => ({
  name,
  configId: (expert) => expert,
  strategy: (expert) => ({ type: "static", weights: { [expert]: 1 }, plausibility }),
});
const base = (): StrategyConfig => ({ type: "base" });

const rows: Row[] = [
  { name: "giant alone", configId: (expert) => expert, strategy: base },
  { name: "right expert alone", configId: (expert) => `${expert}-alone`, strategy: base },
  fixed("giant + right expert, weight 1 (proxy-tuning)", null),
  solved("giant + right expert, solved weight (the paper)", null),
  fixed("weight 1, tokens plausible to base or expert", joint),
  solved("solved weight, tokens plausible to base or expert", joint),
  fixed("weight 1, tokens plausible to the expert", expertOnly),
  solved("solved weight, tokens plausible to the expert", expertOnly),
  { ...solved("giant + both experts, the paper's rule", null), configId: () => "both" },
  {
    ...solved("both experts, the paper's rule, tokens plausible to base or expert", joint),
    configId: () => "both",
  },
];

async function answer(
  engine: Engine,
  configId: string,
  prompt: string,
  strategy: StrategyConfig,
): Promise<string> {
  const config = configs.find((candidate) => candidate.config.id === configId)!.config;
  let text = "";
  const events = engine.generate(
    {
      ...plainRequest,
      requestId: randomUUID(),
      configId,
      prompt: { type: "text", text: prompt },
      maxTokens,
      stop: ["\n"],
      sampling: config.sampling,
      strategy,
    },
    new AbortController().signal,
  );
  for await (const event of events) if (event.type === "delta") text += event.text;
  return text;
}

async function score(engine: Engine, row: Row, task: Task): Promise<number> {
  const items = read(task);
  const expert = taskToExpert[task];
  const right = await Promise.all(
    items.map(async (item) =>
      isRight(
        task,
        await answer(engine, row.configId(expert), item.prompt, row.strategy(expert)),
        item.answer,
      ),
    ),
  );
  return right.filter(Boolean).length / items.length;
}

const engine = await startEngine({
  configs,
  settings: {
    backend: "cpu",
    threads: 1,
    batchTokens: 512,
    kernel: "simd",
    maxWaiting: 512,
    maxWaitingTokens: 1_000_000,
    queueTimeoutMs: 600_000,
    cacheSequences: 0,
  },
  log: pino({ level: "warn" }),
  onProgress: () => undefined,
  entry: new URL("../dist/engine/child.js", import.meta.url),
});
const lines = ["| Exact match, greedy, 120 questions each | recall | sums |", "| --- | ---: | ---: |"];
const begun = performance.now();
for (const row of rows) {
  const scores: string[] = [];
  for (const task of tasks) scores.push((await score(engine, row, task)).toFixed(2));
  lines.push(`| ${[row.name, ...scores].join(" | ")} |`);
  console.log(lines.at(-1));
}
await engine.close();
const seconds = ((performance.now() - begun) / 1000).toFixed(0);
const machine = `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? "an unknown processor"}`;
const note = `${rows.length * tasks.length * 120} answers, ${numSequences} at a time, in ${seconds} s on ${machine}.`;

/** What the command line prints for a question, as a shell session. */
function session(args: readonly string[]): string {
  const shown = args.map((arg) => (arg.includes(" ") ? `"${arg}"` : arg)).join(" ");
  const printed = execFileSync(process.execPath, ["dist/main.js", ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return `$ node dist/main.js ${shown}\n${printed.trimEnd()}`;
}

const question = "What is the home town of Venur Gevol?";
const sessions = [
  session(["complete", "--fusion", "giant", "--max-tokens", "16", question]),
  session(["complete", "--fusion", "trivia", "--trace", question]),
];
const fence = "```";
let readme = readFileSync(readmePath, "utf8");
readme = await replaceSection(readme, "measured", `${lines.join("\n")}\n\n${note}`);
readme = await replaceSection(readme, "trace", `${fence}console\n${sessions.join("\n\n")}\n${fence}`);
writeFileSync(readmePath, readme);
