import { promptTokens } from "./bare.js";
import { makeFamily, vocabularySize } from "./family.js";
import { streamCompletion } from "./http-client.js";
import type { PartResult } from "./report.js";
import { familyConfigFile, startShoulders } from "./server-process.js";
import { median } from "./statistics.js";

/** A verdict over many candidates against one completion as long as one of them, in turns. */

const numCandidates = 64;
const numTokens = 20;
const promptLength = 64;
const budgetMs = 30_000;

interface Side {
  label: string;
  model: string;
  configs: Parameters<typeof startShoulders>[0];
  prompt: (round: number) => number[] | string;
}

/** A digit is a token in both vocabularies. */
const digitsFrom = (index: number) =>
  String(index).padStart(2, "0") + "314159265358979323".slice(0, numTokens - 2);

async function judgeMs(
  url: string,
  model: string,
  prompt: number[] | string,
  candidates: string[],
): Promise<number> {
  const startMs = performance.now();
  const response = await fetch(`${url}/v1/fusion/judge`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model, prompt, candidates, laws: ["fused", "base"] }),
  });
  const answer = (await response.json()) as { verdicts: { candidates: { tokens: number[] }[] }[] };
  const ms = performance.now() - startMs;
  const lengths = answer.verdicts[0]!.candidates.map(({ tokens }) => tokens.length);
  if (response.status !== 200 || lengths.some((length) => length !== numTokens))
    throw new Error(`expected candidates of ${numTokens} tokens: ${JSON.stringify(lengths)}`);
  return ms;
}

async function measure({ label, model, configs, prompt }: Side): Promise<(string | number)[]> {
  await using server = await startShoulders(configs);
  const candidates = Array.from({ length: numCandidates }, (_, index) => digitsFrom(index));
  const complete = async (round: number) => {
    const body = { model, prompt: prompt(round), max_tokens: numTokens, temperature: 0 };
    // As long as it is said to be.
    return (await streamCompletion(server.url, { ...body, logit_bias: { "1": -100 } })).totalMs;
  };
  await complete(0);
  const rounds: { one: number; judged: number }[] = [];
  const startMs = performance.now();
  while (rounds.length < 3 || performance.now() - startMs < budgetMs) {
    const round = 2 * rounds.length + 1;
    const one = await complete(round);
    rounds.push({ one, judged: await judgeMs(server.url, model, prompt(round + 1), candidates) });
  }
  const of = (value: (round: (typeof rounds)[number]) => number) => median(rounds.map(value));
  return [
    label,
    of(({ one }) => one),
    of(({ judged }) => judged),
    of(({ one, judged }) => judged / one),
    rounds.length,
  ];
}

export async function benchJudge(): Promise<PartResult> {
  makeFamily();
  const bench: Side = {
    label: "bench family",
    model: "fused",
    configs: [familyConfigFile("fused", ["expert-1"], { tokens: 512, sequences: 8 })],
    prompt: (round) => promptTokens(promptLength, 700 + round),
  };
  const shipped: Side = {
    label: "shipped family, recall",
    model: "recall",
    configs: "shipped",
    prompt: (round) => `Question: Where does person ${round} live?\nAnswer:`,
  };
  const rows = [await measure(bench), await measure(shipped)];
  return {
    values: {},
    tables: [
      {
        title: `A verdict over ${numCandidates} candidates of ${numTokens} tokens, and one completion of ${numTokens}, over HTTP`,
        workload: `base + reference + 1 expert, 8 sequences, the laws of fusion and base, V = ${vocabularySize} for the bench family; in turns, medians`,
        head: ["models", "completion, ms", "verdict, ms", "verdict ÷ completion", "rounds"],
        rows,
      },
    ],
  };
}
