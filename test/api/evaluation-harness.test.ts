import { afterAll, beforeAll, expect, it } from "vitest";
import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import type { TextCompletion } from "../../src/wire/completion.js";
import { load, starterModel } from "../support/llama.js";
import { plainScore, type Item, type Score } from "../support/plain-score.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { readEvents } from "../support/server.js";

/** What lm-eval's `local-completions` sends for multiple choice, and how it reads the answer. */

let server: RealServer;
let library: NativeLibrary;
let base: LoadedModel;
beforeAll(async () => {
  server = await startRealServer();
  library = await openLibrary({ backend: "cpu" });
  base = await load(library, starterModel("giant"));
});
afterAll(async () => {
  await server.close();
  await library[Symbol.asyncDispose]();
});

const context = "Question: What is the home town of Venur Gevol?\nAnswer:";
const continuations = [" Bofield", " Bern", " Tavin Ollas", " 42", " the", " Where does", "\n", "."];

async function tokenize(content: string): Promise<number[]> {
  const response = await server.post("/tokenize", { model: "giant", content });
  return ((await response.json()) as { tokens: number[] }).tokens;
}

const items = () =>
  Promise.all(
    continuations.map(async (continuation): Promise<Item> => ({
      ids: await tokenize(context + continuation),
      contextLength: (await tokenize(context)).length,
    })),
  );

/** As its `_create_payload` and `parse_logprobs` do it. */
async function scoresOf(model: string, asked: Item[]): Promise<Score[]> {
  const response = await server.post("/v1/completions", {
    model,
    prompt: asked.map(({ ids }) => ids),
    temperature: 0,
    max_tokens: 1,
    logprobs: 1,
    seed: 1234,
    echo: true,
  });
  expect(response.status).toBe(200);
  const { choices } = (await response.json()) as TextCompletion;
  return choices
    .sort((a, b) => a.index - b.index)
    .map(({ logprobs }, index) => {
      const { contextLength, ids } = asked[index]!;
      // It takes the last one for the token that was generated.
      expect(logprobs?.tokens).toHaveLength(ids.length + 1);
      const own = <Value>(list: Value[]) => list.slice(contextLength, -1);
      const logprob = own(logprobs!.token_logprobs).reduce<number>((sum, value) => sum + value!, 0);
      const tops = own(logprobs!.top_logprobs);
      const isGreedy = own(logprobs!.tokens).every(
        (token, place) => tops[place]?.[token] === Math.max(...Object.values(tops[place] ?? {})),
      );
      return { logprob, isGreedy };
    });
}

it("a first token that ends the answer is told, so that none of the prompt's is taken for it", async () => {
  const [item] = (await items()) as [Item];
  const body = {
    model: "giant",
    prompt: item.ids,
    max_tokens: 1,
    logprobs: 1,
    echo: true,
    // The end of sequence.
    logit_bias: { "1": 100 },
  };
  const { choices } = (await (await server.post("/v1/completions", body)).json()) as TextCompletion;
  expect(choices[0]?.finish_reason).toBe("stop");
  expect(choices[0]?.logprobs?.tokens.at(-1)).toBe("<eos>");
  expect(choices[0]?.logprobs?.tokens).toHaveLength(item.ids.length + 1);
  const events = (await readEvents(await server.post("/v1/completions", { ...body, stream: true }))) as (
    TextCompletion | "[DONE]"
  )[];
  const streamed = events.flatMap((chunk) =>
    chunk === "[DONE]" ? [] : (chunk.choices[0]?.logprobs?.tokens ?? []),
  );
  expect(streamed).toEqual(choices[0]?.logprobs?.tokens);
});

it("under a plausible set no candidate is impossible, and the weights are those that answers are drawn with", async () => {
  const asked = await items();
  const scores = await scoresOf("plausible", asked);
  for (const { logprob } of scores) expect(logprob).toBeGreaterThan(-200);
  const [item] = asked as [Item];
  const told = async (logprobs: string) => {
    const body = { model: "plausible", prompt: item.ids, max_tokens: 0, logprobs: 0, echo: true };
    const answer = await server.post("/v1/completions", { ...body, fusion: { logprobs } });
    const { choices } = (await answer.json()) as TextCompletion;
    return choices[0]!.logprobs!.token_logprobs.slice(1) as number[];
  };
  const [restricted, unrestricted] = [await told("fused"), await told("unrestricted")];
  expect(restricted).toContain(-9999);
  restricted.forEach((logprob, place) => {
    // What lies outside of the set takes from what lies in it, and not much.
    if (logprob === -9999) return;
    expect(unrestricted[place]!).toBeLessThanOrEqual(logprob + 1e-4);
  });
});

it("the base alone: log-likelihoods and greedy choices are the model's own", async () => {
  const asked = await items();
  const scores = await scoresOf("giant", asked);
  const expected: Score[] = [];
  for (const item of asked) expected.push(await plainScore(base, item));
  expect(scores.map(({ isGreedy }) => isGreedy)).toEqual(expected.map(({ isGreedy }) => isGreedy));
  // A prompt is read in one batch there, token by token here: sums of float32 differ by their order.
  expected.forEach(({ logprob }, index) =>
    expect(Math.abs(scores[index]!.logprob - logprob)).toBeLessThan(0.02),
  );
});
