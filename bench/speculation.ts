import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import path from "node:path";
import { greedy } from "../test/support/fake-models.js";
import { located } from "../test/support/members.js";
import { answer, root, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { resolveConfigs } from "../src/cli/open-engine.js";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import { loadFusionConfigs, selectFusionConfigs } from "../src/config/load.js";
import { settingsSchema } from "../src/config/settings.js";
import { drawByGumbel } from "../src/llama/gumbel.js";
import type {
  Engine,
  GenerationRequest,
  ResolvedFusionConfig,
  StepSample,
  Usage,
} from "../src/protocol/protocol.js";
import type { StrategyConfig } from "../src/strategies/registry.js";
import { BareModels, openCpuLibrary, promptTokens } from "./bare.js";
import { familyPath, makeFamily, type MemberName, vocabularySize } from "./family.js";
import type { FigureId } from "./figures.js";
import type { PartResult } from "./report.js";
import { listen } from "./overhead.js";
import { median, sum } from "./statistics.js";
import { type Decoding, decodingOf, settledDecoding } from "./threads.js";

/** The fused stream against the base alone, in one process over the same models, in turns. */

const promptLength = 4;
const budgetMs = 25_000;
/** How much of a text is certain differs from text to text. */
const leastRounds = 5;
/** Batches of other shapes move logits by a few thousandths; solved weights and sharp rows of experts make more of them. */
const tieNats = 0.1;
/** The set's ratio, and how far it is moved to show that a token was at its bound: as far as a token's own logit. */
const ratio = 0.1;
const shownRatios = [-tieNats, 0, tieNats].map((nats) => ratio * Math.exp(nats));

interface Family {
  reference: MemberName;
  expert: MemberName;
  /** The expert's plausible set; null: all tokens, as in the paper. */
  plausibility: { ratio: number; of: "expert" } | null;
  /** Of the weight that is solved for. */
  bounds: [number, number];
  /** Default: 1. */
  temperature?: number;
}

const bounds: Family["bounds"] = [0, 2];
const set = { ratio, of: "expert" } as const;
const families = {
  certain: { reference: "reference", expert: "sure-expert", plausibility: set, bounds },
  small: { reference: "tiny-reference", expert: "tiny-sure-expert", plausibility: set, bounds },
  paper: { reference: "reference", expert: "loud-expert", plausibility: null, bounds: [1, 2] },
  // Hardly heard, and drawn from a law so flat that nothing of a text tells what comes next.
  wrong: {
    ...{ reference: "reference", expert: "sure-expert", plausibility: null },
    ...{ bounds: [0, 0.05], temperature: 4 },
  },
} satisfies Record<string, Family>;

type FamilyName = keyof typeof families;

interface Case {
  family: FamilyName;
  numStreams: number;
  numTokens: number;
  /** What fused with speculation is compared with. */
  against: "base" | "off";
}

const cases = {
  fused_vs_base_1: { family: "certain", numStreams: 1, numTokens: 64, against: "base" },
  fused_vs_base_8: { family: "certain", numStreams: 8, numTokens: 32, against: "base" },
  fused_vs_base_1_small: { family: "small", numStreams: 1, numTokens: 64, against: "base" },
  fused_vs_base_8_small: { family: "small", numStreams: 8, numTokens: 32, against: "base" },
  fused_vs_base_paper: { family: "paper", numStreams: 1, numTokens: 64, against: "base" },
  spec_overhead: { family: "wrong", numStreams: 1, numTokens: 64, against: "off" },
} satisfies Partial<Record<FigureId, Case>>;

type CaseId = keyof typeof cases;

/** What is measured in each round. */
const variants = {
  base: { strategy: { type: "base" }, speculation: "off" },
  off: { speculation: "off" },
  on: {},
} satisfies Record<string, Partial<GenerationRequest>>;

type Variant = keyof typeof variants;

interface Measured {
  /** From the last stream's first token to the first stream's last, a token of each. */
  ms: number;
  /** Of that, decodes one after the other, fusing and drawing. */
  decodeMs: number;
  fuseMs: number;
  /** The batches of these steps, and how many tokens each stream had of them. */
  batches: StepSample["batches"];
  each: number;
  ids: number[][];
  usage: Usage["fusion"][];
}

type Round = Record<Variant, Measured>;

export async function benchSpeculation(wanted: readonly FigureId[]): Promise<PartResult> {
  const values: PartResult["values"] = {};
  const tables: PartResult["tables"] = [];
  const ids = (Object.keys(cases) as CaseId[]).filter((one) => wanted.includes(one));
  for (const name of Object.keys(families) as FamilyName[]) {
    const ofFamily = ids.filter((id) => cases[id].family === name);
    if (ofFamily.length === 0) continue;
    const family: Family = families[name];
    makeFamily(["base", family.reference, family.expert]);
    const measured: [CaseId, Round[], number][] = [];
    let threadsOf: Decoding["threadsOf"];
    {
      await using engine = await openEngine([config(family)]);
      ({ threadsOf } = decodingOf(await settledDecoding(engine, 3)));
      for (const id of ofFamily) measured.push([id, ...(await measureCase(engine, id))]);
    }
    const curves = await measureCurves(family, threadsOf);
    for (const [id, rounds, numTies] of measured) {
      const drafted = await measureDrafted(family, threadsOf, blockOf(rounds.flatMap(({ on }) => on.usage)));
      const { value, table } = report(id, { rounds, numTies, curves, drafted });
      values[id] = value;
      tables.push(table);
    }
  }
  return { values, tables };
}

/** @returns rounds, and how many texts parted at a tie. */
async function measureCase(engine: Engine, id: CaseId): Promise<[Round[], number]> {
  const one: Case = cases[id];
  const rounds: Round[] = [];
  let numTies = 0;
  const startMs = performance.now();
  for (let seed = 0; rounds.length < leastRounds || performance.now() - startMs < budgetMs; seed++) {
    const round = {
      base: await measure(engine, one, { variant: "base", seed }),
      off: await measure(engine, one, { variant: "off", seed }),
      on: await measure(engine, one, { variant: "on", seed }),
    };
    for (const [index, ids] of round.on.ids.entries())
      if (!(await isSameText(engine, one, { seed, index, ids, plain: round.off.ids[index]! }))) numTies++;
    // The first round warms caches and compilers up.
    if (seed > 0) rounds.push(round);
  }
  return [rounds, numTies];
}

function promptOf({ seed, index }: { seed: number; index: number }): GenerationRequest["prompt"] {
  return { type: "tokens", tokens: promptTokens(promptLength, 8 * seed + index) };
}

/** Drawn, not greedy: the greedy texts of models with random weights soon go round in circles. */
function drawing(name: FamilyName, { seed, index }: { seed: number; index: number }) {
  const { temperature = 1 }: Family = families[name];
  return { seed: 8 * seed + index, sampling: { ...greedy, temperature } };
}

/**
 * Whether two texts are equal; where they part it has to be at a tie: both tokens are nearly drawn, or at the bound of
 * the plausible set. Anything else is a fault.
 */
async function isSameText(
  engine: Engine,
  { family }: Case,
  parted: { seed: number; index: number; ids: number[]; plain: number[] },
): Promise<boolean> {
  const { ids, plain } = parted;
  const first = ids.findIndex((token, position) => token !== plain[position]);
  if (first < 0 && ids.length === plain.length) return true;
  const { plausibility }: Family = families[family];
  const { seed, sampling } = drawing(family, parted);
  const both = Int32Array.of(ids[first]!, plain[first]!);
  const near = new Set<number>();
  for (const shown of plausibility === null ? [null] : shownRatios) {
    const logprobs: number[] = [];
    for (const token of both) {
      const asked = textRequest("fused", "", {
        prompt: promptOf(parted),
        answerPrefix: { type: "tokens", tokens: [...plain.slice(0, first), token] },
        ...{ maxTokens: 1, speculation: "off", ...drawing(family, parted) },
        strategy: strategyOf(shown === null ? null : { ratio: shown, of: "expert" }),
      });
      const { tokens } = await answer(engine, asked);
      logprobs.push(tokens[first]!.record.logprob);
    }
    // Each of the two, raised by as much, would be drawn before the other.
    for (const token of both) {
      const logits = Float32Array.from(
        both,
        (id, at) => (logprobs[at]! + (id === token ? tieNats : 0)) / sampling.temperature,
      );
      const candidates = { ids: both, logits, stride: 1, offset: 0, count: both.length };
      if (both[drawByGumbel(candidates, { seed, position: first })] === token) near.add(token);
    }
  }
  if (near.size === both.length) return false;
  throw new Error(
    `${family}: speculation changed a text, and not at a tie: ${JSON.stringify({ first, ...parted })}`,
  );
}

/** Milliseconds of bare decodes by size, of a model each: of one token with its row, … */
interface Curve {
  /** … and of more with a row each, and with one row. */
  allRows: Map<number, number>;
  oneRow: Map<number, number>;
}
type Curves = Record<"base" | "reference" | "expert", Curve>;

const curveSizes = [1, 2, 4, 8, 16];
const numTimed = 5;

async function measureCurves(family: Family, threadsOf: Decoding["threadsOf"]): Promise<Curves> {
  await using library = await openCpuLibrary();
  const curveOf = async (name: MemberName): Promise<Curve> => {
    await using bare = await BareModels.open(library, { names: [name], numSequences: 16, threadsOf });
    const curve: Curve = { allRows: new Map(), oneRow: new Map() };
    for (const size of curveSizes)
      for (const kind of ["allRows", "oneRow"] as const) {
        const times: number[] = [];
        for (let count = 0; count < numTimed; count++)
          times.push(await bare.block(size, kind === "allRows" ? size : 1));
        curve[kind].set(size, median(times));
      }
    return curve;
  };
  return {
    base: await curveOf("base"),
    reference: await curveOf(family.reference),
    expert: await curveOf(family.expert),
  };
}

/** Tokens and rows that passes of the base had, in the mean. */
function blockOf(usages: readonly Usage["fusion"][]): { tokens: number; rows: number } {
  const total = (key: "tokens" | "certain" | "basePasses" | "drafted" | "accepted") =>
    sum(usages.map((usage) => usage[key]));
  const numWrong = total("drafted") - total("accepted");
  return {
    tokens: (total("tokens") + total("certain") + numWrong) / total("basePasses"),
    rows: (total("tokens") + numWrong) / total("basePasses"),
  };
}

const numPasses = 30;

/**
 * The base alone with the same drafter, bare decodes: as many tokens a pass, each of the drafter one by one, then of the
 * base at once, with a row for each, for nothing is certain to it. In turns with single tokens of the base.
 *
 * @returns ms a token ÷ that of the base alone.
 */
async function measureDrafted(
  family: Family,
  threadsOf: Decoding["threadsOf"],
  { tokens }: { tokens: number },
): Promise<number> {
  await using library = await openCpuLibrary();
  const open = (name: MemberName) => BareModels.open(library, { names: [name], numSequences: 16, threadsOf });
  await using base = await open("base");
  await using drafter = await open(family.expert);
  const ratios: number[] = [];
  let owed = 0;
  for (let pass = 0; pass < numPasses; pass++) {
    owed += tokens;
    const size = Math.min(16, Math.floor(owed));
    owed -= size;
    let ms = await base.block(size, size);
    for (let token = 0; token < size; token++) ms += await drafter.block(1, 1);
    // The first pass warms up.
    if (pass > 0) ratios.push(ms / size / (await base.block(1, 1)));
  }
  return median(ratios);
}

/** Milliseconds of a batch, between those of the sizes that were measured. */
function costOf({ allRows, oneRow }: Curve, numTokens: number, numRows: number): number {
  const at = (curve: Map<number, number>, size: number) => {
    const upper = curveSizes.find((one) => one >= size) ?? curveSizes.at(-1)!;
    const lower = curveSizes.filter((one) => one <= size).at(-1) ?? 1;
    const share = upper === lower ? 0 : (size - lower) / (upper - lower);
    return (1 - share) * curve.get(lower)! + share * curve.get(upper)!;
  };
  const [most, least] = [at(allRows, numTokens), at(oneRow, numTokens)];
  const share = numTokens <= 1 ? 0 : (numRows - 1) / (numTokens - 1);
  return least + share * (most - least);
}

/**
 * What the cost model makes of what happened, ms a token: each token of the expert by itself, and blocks of base and
 * reference of as many tokens and rows as a pass had.
 */
function predicted(
  usages: Usage["fusion"][],
  fuseMs: number,
  curves: Curves,
): Record<"fused" | "base" | "drafted", number> {
  const numTokens = sum(usages.map((usage) => usage.tokens + usage.certain));
  const numBlocks = sum(usages.map(({ basePasses }) => basePasses));
  const { tokens, rows } = blockOf(usages);
  const singles = numBlocks * tokens * costOf(curves.expert, 1, 1);
  const ofBase = numBlocks * costOf(curves.base, tokens, rows);
  const ofReference = numBlocks * costOf(curves.reference, tokens, rows);
  return {
    fused: (singles + ofBase + ofReference) / numTokens + fuseMs,
    drafted: (singles + numBlocks * costOf(curves.base, tokens, tokens)) / numTokens,
    base: costOf(curves.base, 1, 1),
  };
}

function report(
  id: CaseId,
  { rounds, numTies, curves, drafted }: { rounds: Round[]; numTies: number; curves: Curves; drafted: number },
): { value: number; table: PartResult["tables"][number] } {
  const { family: name, numStreams, numTokens, against }: Case = cases[id];
  const family: Family = families[name];
  const of = (read: (round: Round) => number) => median(rounds.map(read));
  const value = of(({ on, [against]: other }) => on.ms / other.ms);
  const usages = rounds.flatMap(({ on }) => on.usage);
  const total = (key: "tokens" | "certain" | "basePasses" | "drafted" | "accepted") =>
    sum(usages.map((usage) => usage[key]));
  const numAll = total("tokens") + total("certain");
  const byDecodes = of(({ on, [against]: other }) => on.decodeMs / other.decodeMs);
  const model = predicted(
    usages,
    of(({ on }) => on.fuseMs),
    curves,
  );
  const single: (string | number)[][] = [
    ["fused ÷ base alone, by the cost model", model.fused / model.base],
    ["… measured ÷ that", of(({ on, base }) => on.ms / base.ms) / (model.fused / model.base)],
    ["base alone with a drafter that is right as often ÷ base alone, its decodes measured", drafted],
    ["… by the cost model", model.drafted / model.base],
    ...curveRows(curves),
  ];
  const rows: (string | number)[][] = [
    ["ms a token, base alone", of(({ base }) => base.ms)],
    ["ms a token, fused, speculation off", of(({ off }) => off.ms)],
    ["ms a token, fused", of(({ on }) => on.ms)],
    [
      "… of that, decodes; fusing and drawing",
      `${of(({ on }) => on.decodeMs).toPrecision(3)}; ${of(({ on }) => on.fuseMs).toPrecision(3)}`,
    ],
    ...batchRows(rounds.map(({ on }) => on)),
    ["share of certain tokens", total("certain") / numAll],
    ["tokens a pass of the base", numAll / total("basePasses")],
    ["guesses a token", total("drafted") / numAll],
    ["share of guesses that were right", total("accepted") / Math.max(1, total("drafted"))],
    ["speculation off ÷ base alone", of(({ off, base }) => off.ms / base.ms)],
    ["fused ÷ base alone", of(({ on, base }) => on.ms / base.ms)],
    ["fused ÷ speculation off", of(({ on, off }) => on.ms / off.ms)],
    [`the figure's ratio by the decodes alone`, byDecodes],
    ["… measured ÷ that", value / byDecodes],
    ...(numStreams === 1 ? single : []),
  ];
  const of_ =
    family.plausibility === null ? "no plausible set" : `plausible set of the expert, ratio ${ratio}`;
  return {
    value,
    table: {
      title: `The fused stream beside the base alone, ${id}`,
      workload:
        `base + ${family.reference} + ${family.expert}, V = ${vocabularySize}, float16, ${of_}, temperature ${family.temperature ?? 1}; ` +
        `${numStreams} streams of ${numTokens} tokens after prompts of ${promptLength}; ${rounds.length} rounds of base, ` +
        `fused without speculation, fused with it, in one process; texts of the last two are equal but for ${numTies} ` +
        `of ${(rounds.length + 1) * numStreams} that part at a tie; medians; load average ${loadavg()[0]!.toFixed(1)}`,
      head: ["what", "value"],
      rows,
    },
  };
}

/** What became of a token's time, a model each: `14.2: 0.1 of 1 at 24 ms, 0.2 of 8 at 58 ms` */
function batchRows(rounds: readonly Measured[]): (string | number)[][] {
  const numTokens = sum(rounds.map(({ each }) => each));
  const all = rounds.flatMap(({ batches }) => batches);
  return [...new Set(all.map(({ model }) => model))].map((model) => {
    const own = all.filter((batch) => batch.model === model);
    const sizes = [...new Set(own.map(({ tokens }) => tokens))].sort((a, b) => a - b);
    const texts = sizes.map((size) => {
      const times = own.filter(({ tokens }) => tokens === size).map(({ ms }) => ms);
      return `${(times.length / numTokens).toPrecision(2)} of ${size} at ${median(times).toPrecision(3)} ms`;
    });
    const ms = sum(own.map((batch) => batch.ms)) / numTokens;
    return [
      `… of decodes, ${model}: ms; batches by size, and their median`,
      `${ms.toPrecision(3)}; ${texts.join(", ")}`,
    ];
  });
}

function curveRows(curves: Curves): (string | number)[][] {
  return Object.entries(curves).map(([name, { allRows, oneRow }]) => [
    `ms of ${curveSizes.join(", ")} tokens, ${name}: a row each; one row`,
    [allRows, oneRow]
      .map((curve) => [...curve.values()].map((ms) => ms.toPrecision(3)).join(", "))
      .join("; "),
  ]);
}

/** One engine that is closed with its scope. */
async function openEngine(configs: ResolvedFusionConfig[]): Promise<Engine & AsyncDisposable> {
  const engine = await startRealEngine(configs, { threads: null });
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.close() });
}

function strategyOf(plausibility: Family["plausibility"]): StrategyConfig {
  return { type: "dynamic", solver: "exact", plausibility };
}

function config({ reference, expert, plausibility, bounds }: Family): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id: "fused",
    base: familyPath("base"),
    reference: familyPath(reference),
    experts: [{ id: "expert", model: familyPath(expert), bounds }],
    strategy: strategyOf(plausibility),
    context: { tokens: 512, sequences: 8 },
    sampling: { temperature: 0 },
  });
  return {
    config: { ...parsed, strategy: parsed.strategy! },
    members: located(parsed),
    card: null,
  };
}

/** When each token of an answer was there. */
interface Stream {
  ids: number[];
  times: number[];
  usage: Usage["fusion"];
}

async function measure(
  engine: Engine,
  { family, numStreams, numTokens }: Case,
  { variant, seed }: { variant: Variant; seed: number },
): Promise<Measured> {
  const steps: { at: number; sample: StepSample }[] = [];
  const unlisten = listen(engine, (sample) => steps.push({ at: performance.now(), sample }));
  const streams = await Promise.all(
    Array.from({ length: numStreams }, (_, index) => {
      const prompt = promptOf({ seed, index });
      const asked: Partial<GenerationRequest> = {
        prompt,
        maxTokens: numTokens,
        ...drawing(family, { seed, index }),
        ...variants[variant],
      };
      return read(engine, textRequest("fused", "", asked));
    }),
  );
  unlisten();
  const from = Math.max(...streams.map(({ times }) => times[0]!));
  const to = Math.min(...streams.map(({ times }) => times.at(-1)!));
  const inWindow = sum(streams.map(({ times }) => times.filter((at) => at > from && at <= to).length));
  const each = inWindow / numStreams;
  const samples = steps.filter(({ at }) => at > from && at <= to).map(({ sample }) => sample);
  return {
    ms: (to - from) / each,
    decodeMs: sum(samples.map(({ decodeMs }) => sum(Object.values(decodeMs)))) / each,
    fuseMs: sum(samples.map(({ fuseMs, sampleMs }) => fuseMs + sampleMs)) / each,
    batches: samples.flatMap(({ batches }) => batches),
    each,
    ids: streams.map(({ ids }) => ids),
    usage: streams.map(({ usage }) => usage),
  };
}

async function read(engine: Engine, request: GenerationRequest): Promise<Stream> {
  const ids: number[] = [];
  const times: number[] = [];
  for await (const event of engine.generate(request, new AbortController().signal)) {
    if (event.type === "accepted") continue;
    for (const { record } of event.tokens) {
      ids.push(record.token.id);
      times.push(performance.now());
    }
    if (event.type === "done") return { ids, times, usage: event.usage.fusion };
  }
  throw new Error("an answer ended without done");
}

const taskOf = { base_passes_problems: "problems", base_passes_headline: "headline" } as const;
/** The mixture of all four experts is asked the same. */
const mixtureId = "all";
const numItems = 100;

/** How often the base is decoded for an answer of the shipped family. */
export async function benchBasePasses(wanted: readonly FigureId[]): Promise<PartResult> {
  const ids = (Object.keys(taskOf) as (keyof typeof taskOf)[]).filter((id) => wanted.includes(id));
  const configs = selectFusionConfigs(loadFusionConfigs(path.join(root, "fusion-configs")), [
    ...ids.map((id) => taskOf[id]),
    mixtureId,
  ]);
  const resolved = await resolveConfigs(configs, settingsSchema.parse({}), new AbortController().signal);
  await using engine = await openEngine(resolved);
  const values: PartResult["values"] = {};
  const rows: (string | number)[][] = [];
  const asked = ids.flatMap((id) => [
    { id, config: taskOf[id] },
    { id, config: mixtureId },
  ]);
  for (const { id, config } of asked) {
    const items = readFileSync(path.join(root, "models/tasks", `${taskOf[id]}.jsonl`), "utf8")
      .trim()
      .split("\n")
      .slice(0, numItems)
      .map((line) => JSON.parse(line) as { messages: { role: "user"; content: string }[] });
    const usages = await Promise.all(
      items.map(async ({ messages }) => {
        const request = textRequest(config, "", {
          ...{ prompt: { type: "chat", messages }, maxTokens: 64, stop: ["\n"], trace: "off" },
        });
        for await (const event of engine.generate(request, new AbortController().signal))
          if (event.type === "done") return event.usage;
        throw new Error("an answer ended without done");
      }),
    );
    const mean = (read: (usage: Usage) => number) => sum(usages.map(read)) / usages.length;
    const passes = mean(({ fusion }) => fusion.basePasses);
    if (config !== mixtureId) values[id] = passes;
    rows.push([
      `${taskOf[id]}, ${config}`,
      mean(({ completionTokens }) => completionTokens),
      passes,
      mean(({ fusion }) => fusion.certain) / mean(({ completionTokens }) => completionTokens),
      mean(({ fusion }) => fusion.drafted),
      mean(({ fusion }) => fusion.accepted),
    ]);
  }
  return {
    values,
    tables: [
      {
        title: "Decodes of the base for an answer",
        workload: `the shipped configs, ${numItems} items of each task, greedy`,
        head: [
          ...["task, config", "tokens an answer", "base passes an answer", "share of certain tokens"],
          ...["guesses an answer", "right"],
        ],
        rows,
      },
    ],
  };
}
