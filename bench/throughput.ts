import { openCpuLibrary, promptTokens } from "./bare.js";
import { makeFamily, quantizeFamily, vocabularySize, type WeightType } from "./family.js";
import { streamCompletion, type StreamResult } from "./http-client.js";
import type { PartResult, Table } from "./report.js";
import { familyConfigFile, startShoulders } from "./server-process.js";
import { median, quantile } from "./statistics.js";

export interface Load {
  model: string;
  clients: number;
  promptLength: number;
  numTokens: number;
}

let numPrompts = 0;

/** Streams of so many clients at once, each with a prompt of its own. @returns tokens a second of all together. */
export async function tokensPerSecond(url: string, load: Load): Promise<number> {
  const startMs = performance.now();
  const results = await Promise.all(
    Array.from({ length: load.clients }, () =>
      streamCompletion(url, {
        model: load.model,
        prompt: promptTokens(load.promptLength, 1 + numPrompts++),
        max_tokens: load.numTokens,
        temperature: 0,
      }),
    ),
  );
  const elapsedMs = performance.now() - startMs;
  const wrong = results.find((result) => result.status !== 200 || result.completionTokens !== load.numTokens);
  if (wrong) throw new Error(`expected ${load.numTokens} tokens: ${JSON.stringify(wrong)}`);
  return (1000 * load.clients * load.numTokens) / elapsedMs;
}

/** What decoding alone can gain: ms of one token's step, eight times, ÷ a batch of eight's, as the server measured them. */
function decodingLimit(printed: string): number {
  const msAfter = (what: string) => Number(new RegExp(`${what}: [^;]*; ([\\d.]+) ms`).exec(printed)?.[1]);
  return (8 * msAfter("1 token")) / msAfter("a batch");
}

/** Eight requests at once against one, for weights of each type. Guesses are off: they are another gain, of fewer streams more. */
export async function benchScaling(): Promise<PartResult> {
  await makeTypes();
  const [half, eighth, fourth] = [await scalingOf("F16"), await scalingOf("Q8_0"), await scalingOf("Q4_K_M")];
  return {
    values: {
      scaling_8: half.ratio,
      scaling_share_f16: half.ratio / half.limit,
      scaling_share_q8_0: eighth.ratio / eighth.limit,
      scaling_share_q4_k_m: fourth.ratio / fourth.limit,
    },
    tables: [half.table, eighth.table, fourth.table],
  };
}

async function makeTypes(): Promise<void> {
  makeFamily();
  const library = await openCpuLibrary();
  for (const type of ["Q8_0", "Q4_K_M"] as const) quantizeFamily(["base", "reference", "expert-1"], type);
  await library[Symbol.asyncDispose]();
}

async function scalingOf(type: WeightType): Promise<{ ratio: number; limit: number; table: Table }> {
  await using server = await startShoulders(
    [familyConfigFile("fused", ["expert-1"], { tokens: 512, sequences: 8 }, type)],
    ["--speculation", "off"],
  );
  const load = { model: "fused", promptLength: 2, numTokens: 24 };
  const rates = { one: [] as number[], eight: [] as number[] };
  await tokensPerSecond(server.url, { ...load, clients: 8, numTokens: 4 });
  const startMs = performance.now();
  while (rates.eight.length < 3 || performance.now() - startMs < 35_000) {
    rates.one.push(await tokensPerSecond(server.url, { ...load, clients: 1 }));
    rates.eight.push(await tokensPerSecond(server.url, { ...load, clients: 8 }));
  }
  const ratio = median(rates.eight.map((rate, round) => rate / rates.one[round]!));
  const limit = decodingLimit(server.output());
  const table = {
    title: `Tokens a second over HTTP, base + reference + 1 expert, ${type}`,
    workload:
      `bench family, V = ${vocabularySize}, ${load.numTokens} greedy tokens after prompts of ${load.promptLength}, ` +
      `prefill included, ${rates.one.length} rounds of one, then eight; medians`,
    head: ["requests at once", "tokens a second"],
    rows: [
      ["1", median(rates.one)],
      ["8", median(rates.eight)],
      ["8 ÷ 1", ratio],
      ["8 ÷ 1 of libllama's decodes alone, by the server's calibration", limit],
    ],
  };
  return { ratio, limit, table };
}

const prefixLength = 400;

/** Time to the first token where the first 400 tokens of the prompt have been seen before, and where not. */
export async function benchPrefix(): Promise<PartResult> {
  makeFamily();
  await using server = await startShoulders([
    familyConfigFile("fused", ["expert-1"], { tokens: 512, sequences: 8 }),
  ]);
  const ask = (prefix: number[], seed: number): Promise<StreamResult> =>
    streamCompletion(server.url, {
      model: "fused",
      prompt: [...prefix, ...promptTokens(8, 5000 + seed)],
      max_tokens: 2,
      temperature: 0,
    });
  const rounds: { first: StreamResult; second: StreamResult }[] = [];
  await ask(promptTokens(16, 1), 1);
  const startMs = performance.now();
  while (rounds.length < 3 || performance.now() - startMs < 35_000) {
    const seed = rounds.length + 2;
    const prefix = promptTokens(prefixLength, seed);
    const first = await ask(prefix, 2 * seed);
    rounds.push({ first, second: await ask(prefix, 2 * seed + 1) });
  }
  const ratios = rounds.map(({ first, second }) => second.firstTokenMs / first.firstTokenMs);
  const row = (name: string, values: number[]) => [name, median(values), quantile(values, 0.9)];
  return {
    values: { prefix_ttft: median(ratios) },
    tables: [
      {
        title: `Time to first token with a prefix of ${prefixLength} tokens, base + reference + 1 expert`,
        workload: `bench family, V = ${vocabularySize}, 8 tokens of its own after the prefix, ${rounds.length} rounds`,
        head: ["request", "median", "9 of 10 below"],
        rows: [
          row(
            "first, ms",
            rounds.map(({ first }) => first.firstTokenMs),
          ),
          row(
            "second, ms",
            rounds.map(({ second }) => second.firstTokenMs),
          ),
          row("second ÷ first", ratios),
          row(
            "tokens found in the cache by the second",
            rounds.map(({ second }) => second.cachedTokens ?? 0),
          ),
        ],
      },
    ],
  };
}
