import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openLibrary } from "../../src/llama/library.js";
import type { NativeLibrary, SamplerOptions } from "../../src/llama/types.js";
import { neutralSampling } from "../support/llama.js";

let library: NativeLibrary;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
});

/** Probabilities 0.4, 0.3, 0.2, 0.1 of tokens 4, 2, 7, 0; the rest is excluded. */
const row = new Float32Array(10).fill(-Infinity);
for (const [token, p] of [
  [4, 0.4],
  [2, 0.3],
  [7, 0.2],
  [0, 0.1],
] as const)
  row[token] = Math.log(p) + 3;

function withChain<Result>(
  options: Partial<SamplerOptions>,
  use: (chain: ReturnType<NativeLibrary["createSamplerChain"]>) => Result,
  size = row.length,
): Result {
  const chain = library.createSamplerChain({ ...neutralSampling, ...options }, size);
  try {
    return use(chain);
  } finally {
    chain[Symbol.dispose]();
  }
}

/** Shares of the tokens drawn. */
function shares(options: Partial<SamplerOptions>, logits = row, draws = 4000): number[] {
  return withChain(
    options,
    (chain) => {
      const counts = new Array<number>(logits.length).fill(0);
      for (let index = 0; index < draws; index++) {
        const { token } = chain.sample(logits, { position: index, numCandidates: null });
        counts[token] = (counts[token] as number) + 1 / draws;
      }
      return counts;
    },
    logits.length,
  );
}

function drawn(options: Partial<SamplerOptions>, logits = row): number[] {
  return shares(options, logits).flatMap((share, token) => (share > 0 ? [token] : []));
}

function tokensOf(options: Partial<SamplerOptions>, count: number): number[] {
  return withChain(options, (chain) =>
    Array.from(
      { length: count },
      (_, position) => chain.sample(row, { position, numCandidates: null }).token,
    ),
  );
}

describe("a sampler chain", () => {
  it("draws by the row's probabilities and never what is excluded", () => {
    const found = shares({});
    for (const [token, p] of [
      [4, 0.4],
      [2, 0.3],
      [7, 0.2],
      [0, 0.1],
    ] as const)
      expect(found[token]).toBeCloseTo(p, 1);
    expect(found.reduce((sum, share) => sum + share)).toBeCloseTo(1);
    expect(found.filter((share) => share > 0)).toHaveLength(4);
  });

  it("reports log-probabilities and candidates, best first", () => {
    withChain({}, (chain) => {
      const { token, processed } = chain.sample(row, { position: 0, numCandidates: 3 });
      const { logprob: processedLogprob, candidates } = processed!;
      expect(candidates.map((candidate) => candidate.token)).toEqual([4, 2, 7]);
      [0.4, 0.3, 0.2].forEach((p, index) => expect(candidates[index]?.logprob).toBeCloseTo(Math.log(p), 5));
      expect(processedLogprob).toBeCloseTo((row[token] as number) - 3, 5);
    });
    withChain({}, (chain) =>
      expect(chain.sample(row, { position: 0, numCandidates: 20 }).processed!.candidates).toHaveLength(4),
    );
    withChain({}, (chain) =>
      expect(chain.sample(row, { position: 0, numCandidates: 0 }).processed!.candidates).toEqual([]),
    );
  });

  it("draws the same with the same seed, something else with another", () => {
    expect(tokensOf({ seed: 7 }, 50)).toEqual(tokensOf({ seed: 7 }, 50));
    expect(tokensOf({ seed: 7 }, 50)).not.toEqual(tokensOf({ seed: 8 }, 50));
    // libllama takes this one for "a random seed".
    expect(tokensOf({ seed: 0xffffffff }, 50)).toEqual(tokensOf({ seed: 0xffffffff }, 50));
  });

  it("does not change the row", () => {
    const before = row.slice();
    withChain({ temperature: 0.3, logitBias: [{ token: 4, bias: -3 }] }, (chain) =>
      chain.sample(row, { position: 0, numCandidates: 2 }),
    );
    expect(row).toEqual(before);
  });

  it("is greedy at temperature 0, whatever else would cut the best token off", () => {
    expect(drawn({ temperature: 0 })).toEqual([4]);
    expect(drawn({ temperature: 0, typicalP: 0.1, topP: 0.1 })).toEqual([4]);
    withChain({ temperature: 0 }, (chain) =>
      expect(chain.sample(row, { position: 0, numCandidates: 5 })).toEqual({
        token: 4,
        processed: { logprob: 0, candidates: [{ token: 4, logprob: 0 }] },
      }),
    );
  });

  it("with top-k 1 is greedy too", () => {
    expect(drawn({ topK: 1 })).toEqual([4]);
    expect(drawn({ topK: 2 })).toEqual([2, 4]);
    withChain({ topK: 2 }, (chain) =>
      expect(
        chain
          .sample(row, { position: 0, numCandidates: 5 })
          .processed!.candidates.map(({ logprob }) => Math.exp(logprob)),
      ).toEqual([expect.closeTo(4 / 7, 5), expect.closeTo(3 / 7, 5)]),
    );
  });

  it("with top-p keeps the smallest set that reaches it", () => {
    expect(drawn({ topP: 0.35 })).toEqual([4]);
    expect(drawn({ topP: 0.65 })).toEqual([2, 4]);
    expect(drawn({ topP: 0.85 })).toEqual([2, 4, 7]);
  });

  it("with min-p drops what is below the share of the best", () => {
    expect(drawn({ minP: 0.6 })).toEqual([2, 4]);
    expect(drawn({ minP: 0.3 })).toEqual([2, 4, 7]);
    expect(drawn({ minP: 1 })).toEqual([4]);
  });

  it("with typical sampling keeps what is nearest to the entropy", () => {
    // Entropy 1.28 nats: nearest are 0.3 (1.20), then 0.2 (1.61), then 0.4 (0.92).
    expect(drawn({ typicalP: 0.2 })).toEqual([2]);
    expect(drawn({ typicalP: 0.45 })).toEqual([2, 7]);
  });

  it("with typical sampling is not confused by probabilities that underflow", () => {
    const deep = row.slice();
    deep[9] = -500;
    expect(drawn({ typicalP: 0.2 }, deep)).toEqual([2]);
  });

  it("sharpens and flattens with the temperature", () => {
    const [cold, hot] = [shares({ temperature: 0.2 }), shares({ temperature: 2 })];
    expect(cold[4]).toBeGreaterThan(0.7);
    expect(hot[4]).toBeLessThan(0.36);
    expect(hot[0]).toBeGreaterThan(0.12);
  });

  it("adds logit biases: −100 bans, +100 forces", () => {
    expect(drawn({ logitBias: [{ token: 4, bias: -100 }] })).toEqual([0, 2, 7]);
    expect(drawn({ logitBias: [{ token: 0, bias: 100 }] })).toEqual([0]);
    expect(drawn({ temperature: 0, logitBias: [{ token: 2, bias: 1 }] })).toEqual([2]);
    // What the row excludes stays excluded.
    expect(drawn({ logitBias: [{ token: 9, bias: 100 }] })).toEqual([0, 2, 4, 7]);
    expect(() => withChain({ logitBias: [{ token: 10, bias: 1 }] }, () => undefined)).toThrow(
      /token 10 of 10/,
    );
  });

  it.each([
    ["repetition", { repeatPenalty: 1.5 }],
    ["presence", { presencePenalty: 1 }],
    ["frequency", { frequencyPenalty: 1 }],
  ])("lowers what was accepted (%s)", (_name, penalty) => {
    withChain({ ...penalty, temperature: 0 }, (chain) => {
      expect(chain.sample(row, { position: 0, numCandidates: null }).token).toBe(4);
      chain.accept(4);
      expect(chain.sample(row, { position: 0, numCandidates: null }).token).toBe(2);
    });
  });

  it("counts how often for the frequency penalty, not for presence", () => {
    const p4 = (options: Partial<SamplerOptions>, times: number) =>
      withChain(options, (chain) => {
        for (let index = 0; index < times; index++) chain.accept(4);
        return (
          chain
            .sample(row, { position: 0, numCandidates: 4 })
            .processed!.candidates.find(({ token }) => token === 4)?.logprob ?? NaN
        );
      });
    expect(p4({ frequencyPenalty: 1 }, 2)).toBeLessThan(p4({ frequencyPenalty: 1 }, 1) - 0.5);
    expect(p4({ presencePenalty: 1 }, 2)).toBeCloseTo(p4({ presencePenalty: 1 }, 1), 6);
  });

  it("looks only at the last tokens when told so", () => {
    const second = (penaltyLastTokens: number) =>
      withChain({ presencePenalty: 2, temperature: 0, penaltyLastTokens }, (chain) => {
        chain.accept(4);
        chain.accept(0);
        return chain.sample(row, { position: 0, numCandidates: null }).token;
      });
    expect(second(1)).toBe(4);
    expect(second(2)).toBe(2);
    expect(second(-1)).toBe(2);
  });

  it("applies bias and penalties before it cuts", () => {
    expect(drawn({ topK: 1, logitBias: [{ token: 0, bias: 5 }] })).toEqual([0]);
  });

  it("takes rows that are shorter than the vocabulary, not longer ones", () => {
    withChain({ temperature: 0 }, (chain) => {
      expect(chain.sample(row.subarray(0, 4), { position: 0, numCandidates: null }).token).toBe(2);
      expect(() => chain.sample(new Float32Array(11), { position: 0, numCandidates: null })).toThrow(
        /row of 11 for 10/,
      );
    });
  });

  it("says when there is nothing to draw, and never draws a NaN", () => {
    const broken = new Float32Array(10).fill(NaN);
    withChain({}, (chain) =>
      expect(() => chain.sample(broken, { position: 0, numCandidates: null })).toThrow(
        expect.objectContaining({ code: "non_finite_logits" }) as Error,
      ),
    );
    const partly = row.slice();
    partly[9] = NaN;
    expect(drawn({}, partly)).toEqual([0, 2, 4, 7]);
  });

  it("cannot be used after it was released", () => {
    const chain = library.createSamplerChain(neutralSampling, 10);
    chain[Symbol.dispose]();
    chain[Symbol.dispose]();
    expect(() => chain.sample(row, { position: 0, numCandidates: null })).toThrow(/after it was released/);
    expect(() => chain.accept(1)).toThrow(/after it was released/);
  });

  it("shares one buffer with all others: nothing grows with the number of draws", () => {
    const logits = new Float32Array(50_000).map((_, token) => Math.sin(token) * 3);
    const chains = [0, 1, 2].map((seed) =>
      library.createSamplerChain({ ...neutralSampling, topK: 50, topP: 0.9, seed }, logits.length),
    );
    const draw = (times: number) => {
      for (let index = 0; index < times; index++)
        for (const chain of chains) chain.sample(logits, { position: 0, numCandidates: 2 });
    };
    draw(20);
    const before = process.memoryUsage().rss;
    draw(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(20e6);
    for (const chain of chains) chain[Symbol.dispose]();
  });
});
