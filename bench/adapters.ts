import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import { openLibrary } from "../src/llama/library.js";
import { inMainMemory, type AdapterUse, type NativeLibrary } from "../src/llama/types.js";
import type { Engine, ResolvedFusionConfig } from "../src/protocol/protocol.js";
import { contextOptions, decodeRow } from "../test/support/llama.js";
import { changeOf, writeAdapter, writeMerged } from "../test/support/lora.js";
import { located } from "../test/support/members.js";
import { createQuantizer } from "../test/support/quantize.js";
import { type Answer, answer, root, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { taskItems } from "../test/support/gpu.js";
import { approximate, productOf } from "./support/low-rank.js";
import type { PartResult } from "./report.js";

/** The shipped family's experts as adapters of rank 16 of the reference, and the same changes merged into it. */

const tasks = ["recall", "problems", "headline", "choice"] as const;
type Task = (typeof tasks)[number];
const rank = 16;
const numItems = 100;
const numClients = 8;
const numRounds = 5;
const roundTokens = 48;
/** Between two tokens that are one, nats. */
const tie = 0.1;

const family = (name: string) => path.join(root, "models/family", `${name}.gguf`);

interface Files {
  file: (name: string) => string;
  reference: string;
}

/** Everything in float32, so that nothing but the order of sums differs. */
function writeFiles(folder: string): Files {
  const file = (name: string) => path.join(folder, `${name}.gguf`);
  writeMerged(family("dwarf"), file("reference"), [], 0);
  for (const task of tasks) {
    const parts = changeOf(family("dwarf"), family(`dwarf-${task}`)).map((each) => approximate(each, rank));
    const tensors = parts.flatMap(({ name, a, b, columns, rows }) => [
      { name: `${name}.lora_a`, shape: [columns, rank], values: a },
      { name: `${name}.lora_b`, shape: [rank, rows], values: b },
    ]);
    writeAdapter(file(`${task}-lora`), [], { alpha: rank, tensors: () => tensors });
    writeMerged(family("dwarf"), file(`${task}-merged`), parts.map(productOf), 1);
  }
  return { file, reference: file("reference") };
}

function configOf(id: "adapters" | "merged", { file, reference }: Files): ResolvedFusionConfig {
  const experts = tasks.map((task) =>
    id === "adapters"
      ? { id: task, adapter: file(`${task}-lora`) }
      : { id: task, model: file(`${task}-merged`) },
  );
  const parsed = fusionConfigSchema.parse({
    id,
    base: family("giant"),
    reference,
    experts,
    strategy: strategyOf(Object.fromEntries(tasks.map((task) => [task, 1 / tasks.length]))),
    context: { tokens: 512, sequences: numClients },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

const strategyOf = (weights: Record<string, number>) => ({
  type: "static" as const,
  weights,
  plausibility: { ratio: 0.1, of: "expert" as const },
});

async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items.entries()];
  const client = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: numClients }, client));
  return results;
}

/** Greedy answers of a task's expert alone on the base. */
function answersOf(engine: Engine, id: string, task: Task): Promise<Answer[]> {
  const strategy = strategyOf(Object.fromEntries(tasks.map((each) => [each, each === task ? 1 : 0])));
  return inParallel(taskItems(root, task, numItems), ({ messages }) =>
    answer(engine, {
      ...textRequest(id, "", { strategy, maxTokens: 48, stop: ["\n"], topLogprobs: 20 }),
      prompt: { type: "chat", messages },
    }),
  );
}

/** equal: throughout; tie: where they part, both tokens were as good as each other. */
function compare(one: Answer, other: Answer): "equal" | "tie" | "other" {
  const parted = one.ids.findIndex((id, position) => id !== other.ids[position]);
  if (parted < 0) return one.text === other.text ? "equal" : "other";
  const [best, ...others] = one.tokens[parted]?.topLogprobs ?? [];
  const taken = others.find(({ id }) => id === other.ids[parted]);
  return best && taken && best.logprob - taken.logprob < tie ? "tie" : "other";
}

/** Tokens a second of answers of one length, all experts running. */
async function speedOf(engine: Engine, id: string): Promise<number> {
  const items = taskItems(root, "recall", 2 * numClients);
  const startMs = performance.now();
  await inParallel(items, ({ messages }) =>
    answer(engine, {
      ...textRequest(id, "", {
        maxTokens: roundTokens,
        minTokens: roundTokens,
        trace: "off",
        speculation: "off",
      }),
      prompt: { type: "chat", messages },
    }),
  );
  return (items.length * roundTokens) / ((performance.now() - startMs) / 1000);
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** The error of the shift of 4-bit models ÷ the shift, rms weighted by the reference's probability. */
async function shiftErrors(
  library: NativeLibrary,
  { file, reference }: Files,
  share: number,
): Promise<Record<"adapter" | "merged", number>> {
  const quantize = createQuantizer();
  const sums = { adapter: 0, merged: 0, whole: 0 };
  quantize(reference, file("reference-4"), "Q4_0");
  for (const task of tasks) {
    quantize(file(`${task}-merged`), file("merged-4"), "Q4_0");
    const rows = (model: string, adapter?: AdapterUse) => rowsOf(library, model, { task, adapter, share });
    const adapter = { path: file(`${task}-lora`), scale: 1 };
    const [plain, merged] = [await rows(reference), await rows(file(`${task}-merged`))];
    const [small, adapted, merged4] = [
      await rows(file("reference-4")),
      await rows(file("reference-4"), adapter),
      await rows(file("merged-4")),
    ];
    plain.forEach((row, index) => {
      const law = row.map((logprob) => Math.exp(logprob));
      const shift = (one: Float32Array[], other: Float32Array[]) =>
        one[index]!.map((value, token) => value - other[index]![token]!);
      const whole = shift(merged, plain);
      const square = (values: Float32Array) =>
        values.reduce((sum, value, token) => sum + law[token]! * value * value, 0);
      sums.whole += square(whole);
      sums.adapter += square(shift(adapted, small).map((value, token) => value - whole[token]!));
      sums.merged += square(shift(merged4, small).map((value, token) => value - whole[token]!));
    });
  }
  const errorOf = (sum: number) => Math.sqrt(sum / sums.whole);
  return { adapter: errorOf(sums.adapter), merged: errorOf(sums.merged) };
}

/** Log-probabilities after this share of each of some prompts. */
async function rowsOf(
  library: NativeLibrary,
  file: string,
  { task, adapter, share }: { task: Task; adapter: AdapterUse | undefined; share: number },
): Promise<Float32Array[]> {
  await using model = await library.loadModel(file, {
    placement: inMainMemory,
    adapters: adapter === undefined ? [] : [adapter.path],
    onProgress: () => undefined,
  });
  await using context = model.createContext({ ...contextOptions, ...(adapter && { adapter }) });
  const rows: Float32Array[] = [];
  for (const { messages } of taskItems(root, task, 40)) {
    context.removePositions(0, 0, null);
    const { tokens } = await model.renderChat(messages);
    const row = await decodeRow(context, tokens.slice(0, Math.ceil(share * tokens.length)));
    const best = Math.max(...row);
    const all = best + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
    rows.push(row.map((logit) => logit - all));
  }
  return rows;
}

export async function benchAdapters(): Promise<PartResult> {
  const folder = mkdtempSync(path.join(tmpdir(), "bench-adapters-"));
  try {
    const files = writeFiles(folder);
    const [adapters, merged] = [
      await startRealEngine([configOf("adapters", files)]),
      await startRealEngine([configOf("merged", files)]),
    ];
    const rows: (string | number)[][] = [];
    for (const task of tasks) {
      const [own, whole] = [
        await answersOf(adapters, "adapters", task),
        await answersOf(merged, "merged", task),
      ];
      const found = own.map((each, index) => compare(each, whole[index]!));
      const count = (what: string) => found.filter((each) => each === what).length;
      rows.push([task, count("equal"), count("tie"), count("other")]);
    }
    const ratios: number[] = [];
    for (let round = 0; round < numRounds; round++)
      ratios.push((await speedOf(adapters, "adapters")) / (await speedOf(merged, "merged")));
    await adapters.close();
    await merged.close();
    const bytes = (suffix: string) =>
      tasks.reduce((sum, task) => sum + statSync(files.file(`${task}-${suffix}`)).size, 0);
    await using library = await openLibrary({ backend: "cpu" });
    const errors = [];
    for (const share of [0.5, 1]) errors.push({ share, ...(await shiftErrors(library, files, share)) });
    const others = rows.reduce((sum, row) => sum + Number(row[3]), 0);
    return {
      values: {
        adapter_texts: 1 - others / (numItems * tasks.length),
        adapter_memory: bytes("lora") / bytes("merged"),
        adapter_speed: median(ratios),
      },
      tables: [
        {
          title: "Adapters beside the same changes merged",
          workload: `${numItems} greedy answers a task, rank ${rank}, in float32`,
          head: ["task", "equal", "part at a tie", "others"],
          rows,
        },
        {
          title: "Error of the shift at 4 bits (Q4_0)",
          workload:
            "rms by the reference's probability ÷ that of the shift of whole models, 40 prompts a task",
          head: ["after", "adapter on the quantized reference", "merged, then quantized"],
          rows: errors.map(({ share, adapter, merged }) => [
            share === 1 ? "a prompt" : "half of a prompt",
            adapter,
            merged,
          ]),
        },
        {
          title: "Weights",
          workload: `four adapters, four merged files, and both with the reference of ${statSync(files.reference).size} bytes`,
          head: ["adapters, bytes", "merged, bytes", "with the reference"],
          rows: [
            [
              bytes("lora"),
              bytes("merged"),
              (bytes("lora") + statSync(files.reference).size) /
                (bytes("merged") + statSync(files.reference).size),
            ],
          ],
        },
      ],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
