import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import path from "node:path";
import { located } from "../test/support/members.js";
import { root, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { resolveConfigs } from "../src/cli/open-engine.js";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import { loadFusionConfigs, selectFusionConfigs } from "../src/config/load.js";
import { settingsSchema } from "../src/config/settings.js";
import type { Engine, GenerationRequest, ResolvedFusionConfig, Usage } from "../src/protocol/protocol.js";
import { promptTokens } from "./bare.js";
import { familyPath, makeFamily, type MemberName, vocabularySize } from "./family.js";
import type { FigureId } from "./figures.js";
import type { PartResult } from "./report.js";
import { median, sum } from "./statistics.js";

/** The fused stream against the base alone, in one process over the same models, in turns. */

const promptLength = 4;
const numTokens = 64;
const budgetMs = 40_000;

interface Case {
  numStreams: number;
  reference: MemberName;
  expert: MemberName;
}

const cases = {
  fused_vs_base_1: { numStreams: 1, reference: "reference", expert: "certain-expert" },
  fused_vs_base_1_small: { numStreams: 1, reference: "tiny-reference", expert: "tiny-certain-expert" },
  fused_vs_base_8: { numStreams: 8, reference: "reference", expert: "certain-expert" },
  fused_vs_base_8_small: { numStreams: 8, reference: "tiny-reference", expert: "tiny-certain-expert" },
} satisfies Partial<Record<FigureId, Case>>;

type CaseId = keyof typeof cases;

/** What is measured in each round. */
const variants = {
  base: { strategy: { type: "base" } },
  off: { speculation: "off" },
  on: {},
} satisfies Record<string, Partial<GenerationRequest>>;

type Variant = keyof typeof variants;

interface Measured {
  /** From the last stream's first token to the first stream's last, a token of each. */
  ms: number;
  /** Of that, decodes one after the other. */
  decodeMs: number;
  ids: number[][];
  usage: Usage["fusion"][];
}

export async function benchSpeculation(wanted: readonly FigureId[]): Promise<PartResult> {
  const values: PartResult["values"] = {};
  const tables: PartResult["tables"] = [];
  for (const id of (Object.keys(cases) as CaseId[]).filter((one) => wanted.includes(one))) {
    const { ratio, table } = await benchCase(id);
    values[id] = ratio;
    tables.push(table);
  }
  return { values, tables };
}

async function benchCase(id: CaseId): Promise<{ ratio: number; table: PartResult["tables"][number] }> {
  const one: Case = cases[id];
  const names: MemberName[] = ["base", one.reference, one.expert];
  makeFamily(names);
  await using engine = await openEngine([config(one)]);
  const rounds: Record<Variant, Measured>[] = [];
  const startMs = performance.now();
  for (let seed = 0; rounds.length < 3 || performance.now() - startMs < budgetMs; seed++) {
    const base = await measure(engine, one, { variant: "base", seed });
    const off = await measure(engine, one, { variant: "off", seed });
    const on = await measure(engine, one, { variant: "on", seed });
    if (JSON.stringify(on.ids) !== JSON.stringify(off.ids))
      throw new Error(
        `${id}: speculation changed a text: ${JSON.stringify({ seed, on: on.ids, off: off.ids })}`,
      );
    // The first round warms caches and compilers up.
    if (seed > 0) rounds.push({ base, off, on });
  }
  const of = (read: (round: Record<Variant, Measured>) => number) => median(rounds.map(read));
  const ratio = of(({ on, base }) => on.ms / base.ms);
  const predicted = of(({ on, base }) => on.decodeMs / base.decodeMs);
  const usages = rounds.flatMap(({ on }) => on.usage);
  const total = (key: "tokens" | "certain" | "basePasses") => sum(usages.map((usage) => usage[key]));
  const numAll = total("tokens") + total("certain");
  return {
    ratio,
    table: {
      title: `The fused stream beside the base alone, ${id}`,
      workload:
        `${names.join(" + ")}, V = ${vocabularySize}, float16, plausible set of the expert, ratio 0.1, greedy; ` +
        `${one.numStreams} streams of ${numTokens} tokens after prompts of ${promptLength}; ${rounds.length} rounds of base, ` +
        `fused without speculation, fused with it, in one process; texts of the last two are equal; medians; ` +
        `load average ${loadavg()[0]!.toFixed(1)}`,
      head: ["what", "value"],
      rows: [
        ["ms a token, base alone", of(({ base }) => base.ms)],
        ["ms a token, fused, speculation off", of(({ off }) => off.ms)],
        ["ms a token, fused", of(({ on }) => on.ms)],
        ["share of certain tokens", total("certain") / numAll],
        ["tokens a pass of the base", numAll / total("basePasses")],
        ["speculation off ÷ base alone", of(({ off, base }) => off.ms / base.ms)],
        ["fused ÷ base alone, by the decodes alone", predicted],
        ["fused ÷ base alone", ratio],
        ["… ÷ that of the decodes", ratio / predicted],
      ],
    },
  };
}

/** One engine that is closed with its scope. */
async function openEngine(configs: ResolvedFusionConfig[]): Promise<Engine & AsyncDisposable> {
  const engine = await startRealEngine(configs, { threads: null });
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.close() });
}

function config({ numStreams, reference, expert }: Case): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id: "fused",
    base: familyPath("base"),
    reference: familyPath(reference),
    experts: [{ id: "expert", model: familyPath(expert) }],
    strategy: { type: "dynamic", plausibility: { ratio: 0.1, of: "expert" } },
    context: { tokens: 512, sequences: numStreams },
    sampling: { temperature: 0 },
  });
  return {
    config: { ...parsed, strategy: parsed.strategy! },
    members: located(parsed),
    card: null,
  };
}

async function measure(
  engine: Engine,
  { numStreams }: Case,
  { variant, seed }: { variant: Variant; seed: number },
): Promise<Measured> {
  let decodeMs = 0;
  let isOn = false;
  engine.onStep((sample) => {
    if (isOn) decodeMs += sum(Object.values(sample.decodeMs));
  });
  const firsts: number[] = [];
  const lasts: number[] = [];
  const streams = await Promise.all(
    Array.from({ length: numStreams }, async (_, index) => {
      const prompt = { type: "tokens" as const, tokens: promptTokens(promptLength, 8 * seed + index) };
      const request = textRequest("fused", "", { prompt, maxTokens: numTokens, ...variants[variant] });
      const ids: number[] = [];
      const times: number[] = [];
      let hasBegun = false;
      for await (const event of engine.generate(request, new AbortController().signal)) {
        if (event.type === "accepted") continue;
        for (const { record } of event.tokens) {
          ids.push(record.token.id);
          times.push(performance.now());
        }
        if (ids.length > 0 && !hasBegun) {
          hasBegun = true;
          firsts.push(times[0]!);
          isOn = firsts.length === numStreams;
        }
        if (event.type === "done") {
          isOn = false;
          lasts.push(times.at(-1)!);
          return { ids, times, usage: event.usage.fusion };
        }
      }
      throw new Error("an answer ended without done");
    }),
  );
  isOn = false;
  const [from, to] = [Math.max(...firsts), Math.min(...lasts)];
  const inWindow = sum(streams.map(({ times }) => times.filter((at) => at > from && at <= to).length));
  const each = inWindow / numStreams;
  return {
    ms: (to - from) / each,
    decodeMs: decodeMs / each,
    ids: streams.map(({ ids }) => ids),
    usage: streams.map(({ usage }) => usage),
  };
}

const taskOf = { base_passes_problems: "problems", base_passes_headline: "headline" } as const;
const numItems = 100;

/** How often the base is decoded for an answer of the shipped family. */
export async function benchBasePasses(wanted: readonly FigureId[]): Promise<PartResult> {
  const ids = (Object.keys(taskOf) as (keyof typeof taskOf)[]).filter((id) => wanted.includes(id));
  const configs = selectFusionConfigs(
    loadFusionConfigs(path.join(root, "fusion-configs")),
    ids.map((id) => taskOf[id]),
  );
  const resolved = await resolveConfigs(configs, settingsSchema.parse({}), new AbortController().signal);
  await using engine = await openEngine(resolved);
  const values: PartResult["values"] = {};
  const rows: (string | number)[][] = [];
  for (const id of ids) {
    const items = readFileSync(path.join(root, "models/tasks", `${taskOf[id]}.jsonl`), "utf8")
      .trim()
      .split("\n")
      .slice(0, numItems)
      .map((line) => JSON.parse(line) as { messages: { role: "user"; content: string }[] });
    const usages = await Promise.all(
      items.map(async ({ messages }) => {
        const request = textRequest(taskOf[id], "", {
          ...{ prompt: { type: "chat", messages }, maxTokens: 64, stop: ["\n"] },
        });
        for await (const event of engine.generate(request, new AbortController().signal))
          if (event.type === "done") return event.usage;
        throw new Error("an answer ended without done");
      }),
    );
    const mean = (read: (usage: Usage) => number) => sum(usages.map(read)) / usages.length;
    values[id] = mean(({ fusion }) => fusion.basePasses);
    rows.push([
      taskOf[id],
      mean(({ completionTokens }) => completionTokens),
      values[id],
      mean(({ fusion }) => fusion.certain) / mean(({ completionTokens }) => completionTokens),
    ]);
  }
  return {
    values,
    tables: [
      {
        title: "Decodes of the base for an answer",
        workload: `the shipped configs, ${numItems} items of each task, greedy`,
        head: ["task", "tokens an answer", "base passes an answer", "share of certain tokens"],
        rows,
      },
    ],
  };
}
