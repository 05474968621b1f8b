import { located } from "../test/support/members.js";
import type { Engine, ResolvedFusionConfig, StepSample } from "../src/protocol/protocol.js";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import { answer, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { BareModels, openCpuLibrary, promptTokens } from "./bare.js";
import { familyPath, makeFamily, rowsText, vocabularySize, type MemberName } from "./family.js";
import type { PartResult } from "./report.js";
import { median, sum } from "./statistics.js";
import { decodingOf, settledDecoding, type Decoding } from "./threads.js";

const promptLength = 4;
const numTokens = 13;
const budgetMs = 35_000;

interface Case {
  id: "overhead_1" | "overhead_8";
  numSequences: number;
  experts: MemberName[];
}

const cases: Case[] = [
  { id: "overhead_1", numSequences: 1, experts: ["expert-1"] },
  { id: "overhead_8", numSequences: 8, experts: ["expert-1", "expert-2"] },
];

/** Medians of one round, ms. */
interface Round {
  step: number;
  /** From the first model's decode to the end of the last's, as the engine's mode has them. */
  decode: number;
  fuse: number;
  sample: number;
  bare: number[];
}

/** What a fused step takes, against the bare decodes of the same models measured alone, in turns in one run. */
export async function benchOverhead(id: Case["id"]): Promise<PartResult> {
  makeFamily();
  const { numSequences, experts } = cases.find((one) => one.id === id)!;
  const names: MemberName[] = ["base", "reference", ...experts];
  const engine = await startRealEngine([familyConfig("fused", experts, numSequences)], { threads: null });
  const { mode: modes, threadsOf } = decodingOf(await settledDecoding(engine, names.length));
  const kind = numSequences > 1 ? "batch" : "single";
  const mode = modes[kind];
  const library = await openCpuLibrary();
  const bare = await BareModels.open(library, { names, numSequences, threadsOf });
  const rounds: Round[] = [];
  try {
    const startMs = performance.now();
    for (let seed = 0; rounds.length < 3 || performance.now() - startMs < budgetMs; seed++) {
      const ours = await engineRound(engine, numSequences, { mode, seed });
      const alone = await bareRound(bare);
      // The first round warms caches and compilers up.
      if (seed > 0) rounds.push({ ...ours, bare: alone });
    }
  } finally {
    await engine.close();
    await bare[Symbol.asyncDispose]();
    await library[Symbol.asyncDispose]();
  }
  const of = (read: (round: Round) => number) => median(rounds.map(read));
  const ratio = of((round) => round.step / sum(round.bare));
  return {
    values: { [id]: ratio },
    tables: [
      {
        title: `A fused step beside bare decodes, ${numSequences} sequence${numSequences > 1 ? "s" : ""}, ms`,
        workload:
          `${names.join(" + ")}, V = ${vocabularySize}, float16, ${names.map((name) => threadsOf(familyPath(name))[kind]).join(" + ")} threads, models ${mode} in the engine, prompts of ${promptLength} ` +
          `tokens, ${numTokens - 1} steps a round; ${rounds.length} rounds of engine, then bare decodes in a process ` +
          `of their own, one model after the other; medians of rounds' medians. Rows: ${rowsText}`,
        head: ["what", "ms"],
        rows: [
          ["fused step, from one to the next", of((round) => round.step)],
          ["… of that, decodes in the engine", of((round) => round.decode)],
          ["… fuse, all sequences", of((round) => round.fuse)],
          ["… sample, all sequences", of((round) => round.sample)],
          ["… the rest", of((round) => round.step - round.decode - round.fuse - round.sample)],
          ...names.map((name, index) => [`bare decode, ${name}`, of((round) => round.bare[index]!)]),
          ["sum of bare decodes", of((round) => sum(round.bare))],
          ["fused step ÷ sum of bare decodes", ratio],
        ],
      },
    ],
  };
}

/** A config over the bench family, solved exactly over all tokens. */
export function familyConfig(
  id: string,
  experts: readonly MemberName[],
  sequences: number,
): ResolvedFusionConfig {
  const hasExperts = experts.length > 0;
  const config = fusionConfigSchema.parse({
    id,
    base: familyPath("base"),
    reference: hasExperts ? familyPath("reference") : null,
    experts: experts.map((name) => ({ id: name, model: familyPath(name) })),
    context: { tokens: 512, sequences },
    sampling: { temperature: 0 },
  });
  return {
    config: {
      ...config,
      strategy: hasExperts ? { type: "dynamic", solver: "exact", plausibility: null } : { type: "base" },
    },
    members: located(config),
    card: null,
  };
}

async function engineRound(
  engine: Engine,
  numSequences: number,
  { mode, seed }: { mode: Decoding["mode"]["single"]; seed: number },
): Promise<Omit<Round, "bare">> {
  const steps: { atMs: number; sample: StepSample }[] = [];
  const unlisten = listen(engine, (sample) => steps.push({ atMs: performance.now(), sample }));
  await Promise.all(
    Array.from({ length: numSequences }, (_, index) => {
      const tokens = promptTokens(promptLength, 8 * seed + index);
      return answer(
        engine,
        textRequest("fused", "", { prompt: { type: "tokens", tokens }, maxTokens: numTokens }),
      );
    }),
  );
  unlisten();
  const gaps: number[] = [];
  const full: StepSample[] = [];
  // A step that follows a full one decodes one token a sequence, if it is full itself.
  for (const [index, { atMs, sample }] of steps.entries()) {
    const before = steps[index - 1];
    if (before?.sample.rows !== numSequences || sample.rows !== numSequences) continue;
    gaps.push(atMs - before.atMs);
    full.push(sample);
  }
  return {
    step: median(gaps),
    decode: median(
      full.map(({ decodeMs }) => {
        const times = Object.values(decodeMs);
        return mode === "together" ? Math.max(...times) : sum(times);
      }),
    ),
    fuse: median(full.map(({ fuseMs }) => fuseMs)),
    sample: median(full.map(({ sampleMs }) => sampleMs)),
  };
}

/** Engines keep their listeners for good; this one stops listening. */
export function listen(engine: Engine, listener: (sample: StepSample) => void): () => void {
  let isOn = true;
  engine.onStep((sample) => {
    if (isOn) listener(sample);
  });
  return () => (isOn = false);
}

async function bareRound(bare: BareModels): Promise<number[]> {
  await bare.prefill(promptLength);
  const steps: number[][] = [];
  for (let step = 1; step < numTokens; step++) steps.push(await bare.step());
  return (steps[0] ?? []).map((_, model) => median(steps.map((times) => times[model]!)));
}
