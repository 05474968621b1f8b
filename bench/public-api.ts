import { getLlama, type LlamaContextSequence, type Token } from "node-llama-cpp";
import { fuseDynamic } from "../src/strategies/dynamic.js";
import { createKernel } from "../src/fusion/kernel/kernel.js";
import type { TokenLogprob } from "../src/fusion/types.js";
import { samplingSchema } from "../src/config/fusion-config.js";
import { TokenSampler } from "../src/sampling/token-sampler.js";
import { BareModels, openCpuLibrary, tokenAt } from "./bare.js";
import { familyPath, makeFamily, vocabularySize, type MemberName } from "./family.js";
import type { PartResult } from "./report.js";
import { median, sum } from "./statistics.js";

const names: MemberName[] = ["base", "reference", "expert-1"];
const promptLength = 16;
const numTokens = 40;

/** What comes on top of the decodes, a token: rows, weights, fused row, the choice of a token. */
export async function benchPublicApi(): Promise<PartResult> {
  makeFamily();
  await using library = await openCpuLibrary();
  await using bare = await BareModels.open(library, {
    names,
    numSequences: 1,
    threadsOf: () => ({ single: 1, batch: 1 }),
  });
  const kernel = createKernel("simd", { vocabularySize, numExperts: 1 });
  const samplers = Object.entries({ greedy: { temperature: 0 }, topP: { temperature: 0.8, topP: 0.95 } });
  const ours = new Map<string, number[]>();
  const theirs: { whole: number[]; fuse: number[] } = { whole: [], fuse: [] };
  const decodes: number[] = [];

  const llama = await getLlama({ build: "never", gpu: false });
  const sequences: LlamaContextSequence[] = [];
  for (const name of names) {
    const model = await llama.loadModel({ modelPath: familyPath(name) });
    sequences.push((await model.createContext({ contextSize: 512, threads: 1 })).getSequence());
  }
  await bare.prefill(promptLength);
  for (const sequence of sequences)
    await sequence.evaluateWithoutGeneratingNewTokens(
      Array.from({ length: promptLength }, (_, at) => tokenAt(at) as Token),
    );
  for (let at = 0; at < numTokens; at++) {
    decodes.push(sum(await bare.step()));
    for (const [name, sampling] of samplers) {
      using sampler = new TokenSampler(
        {
          sampling: samplingSchema.parse(sampling),
          logitBias: [],
          seed: 1,
          contextTokens: 512,
          grammar: null,
        },
        (options) => library.createSamplerChain(options, vocabularySize),
      );
      const startMs = performance.now();
      const [base, reference, expert] = bare.rows;
      const fusion = fuseDynamic(
        kernel,
        { base: base!, reference: reference!, experts: [expert!] },
        { solver: "exact", bounds: [[0, 2]], plausibility: null },
        [Infinity],
      );
      const [best] = fusion.row.top(1) as [TokenLogprob];
      kernel.top("base", 1);
      sampler.sample(fusion.row, { argmax: best.token, baseRow: base!, numCandidates: null, room: 1 });
      ours.set(name, [...(ours.get(name) ?? []), performance.now() - startMs]);
    }
    const token = tokenAt(promptLength + at) as Token;
    const startMs = performance.now();
    const rows = [];
    for (const sequence of sequences) rows.push(await logitsOf(sequence, token));
    const decodedMs = performance.now();
    proxyTuned(rows);
    theirs.whole.push(performance.now() - startMs);
    theirs.fuse.push(performance.now() - decodedMs);
  }
  await llama.dispose();

  const decodeMs = median(decodes);
  const added = median(theirs.whole.map((whole, at) => whole - decodes[at]!));
  const oursMs = median(ours.get("greedy")!);
  return {
    values: { public_api_ratio: oursMs / added },
    tables: [
      {
        title: "What a fused token costs on top of its decodes, ms",
        workload:
          `${names.join(" + ")}, V = ${vocabularySize}, one sequence, 1 thread, models in turn, ${numTokens} tokens in ` +
          "the same run; ours: from rows to a token, weight solved exactly, base's best token for the trace included; " +
          "the public API's: `controlledEvaluate` with logits less the bare decodes, then weight 1, nothing solved, greedy",
        head: ["what", "median ms"],
        rows: [
          ["bare decodes, sum", decodeMs],
          ["ours, greedy", oursMs],
          ["ours, temperature 0.8 and top-p 0.95", median(ours.get("topP")!)],
          ["public API, all on top of the decodes", added],
          ["… of that, adding up and choosing in JavaScript", median(theirs.fuse)],
          ["ours ÷ public API", oursMs / added],
        ],
      },
    ],
  };
}

async function logitsOf(sequence: LlamaContextSequence, token: Token): Promise<Map<Token, number>> {
  const output = await sequence.controlledEvaluate([[token, { generateNext: { logits: true } }]]);
  return output.at(-1)!.next.logits!;
}

/** base + (expert − reference), and its best token. */
function proxyTuned(rows: readonly Map<Token, number>[]): Token | null {
  const [base, reference, expert] = rows as [Map<Token, number>, Map<Token, number>, Map<Token, number>];
  let best: { token: Token; logit: number } | null = null;
  for (const [token, logit] of base) {
    const fused = logit + (expert.get(token)! - reference.get(token)!);
    if (best === null || fused > best.logit) best = { token, logit: fused };
  }
  return best?.token ?? null;
}
