import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { TextReader, type ReadVocabulary } from "../../../src/engine/own/text-reader.js";
import { textsOf } from "../../../src/engine/own/byte-index.js";
import type { Vocabulary } from "../../../src/llama/types.js";
import { dream, END, type FakeContext, fakeRequest, peak } from "../../support/fake-models.js";
import { entered, start, tokensOf } from "../../support/scripted-engine.js";

/** Requests that leave, or have waited too long, while small models of another vocabulary are asked ahead. */

/** One token of the base, of which the small models make three. */
const long = 200;
const bytesOfLong = "xyz";
const numTokens = 6;

function startOwn({
  sequences,
  ...limits
}: {
  sequences: number;
  cacheSequences?: number;
  queueTimeoutMs?: number;
}) {
  const started = start({
    base: (tokens) => peak(tokens.filter((token) => token === long).length < numTokens ? long : END),
    reference: dream(3),
    experts: [dream(3)],
    strategy: { type: "static", weights: { e0: 1 }, plausibility: null },
    config: { context: { tokens: 64, sequences } },
    limits,
  });
  const { model } = started.models.slots[0]!;
  const own = model.vocabulary;
  const base: Vocabulary = {
    ...own,
    bytes: (token) => (token === long ? Buffer.from(bytesOfLong) : own.bytes(token)),
  };
  Object.assign(model, { vocabulary: base });
  const read = (vocabulary: Vocabulary, tokenize: ReadVocabulary["tokenize"]): ReadVocabulary => ({
    ...textsOf(vocabulary),
    ends: [END],
    tokenize,
  });
  const bytesOf = (text: string) => [...Buffer.from(text)];
  const longest = (text: string): number[] =>
    text.split(bytesOfLong).flatMap((part, index) => [...(index > 0 ? [long] : []), ...bytesOf(part)]);
  const reader = new TextReader(read(base, longest), read(own, bytesOf));
  Object.assign(started.models.configs.get("fake")!, { reader, tokenNames: base });
  return started;
}

/** Calls back within each decode of the reference that looks ahead: not the first since the base's. */
function onLook(
  [base, reference]: readonly FakeContext[],
  look: (nth: number) => void | Promise<void>,
): void {
  let [numBase, numAtLast, numLooks] = [0, -1, 0];
  const before = (context: FakeContext, act: () => void | Promise<void>) => {
    const decode = context.decode.bind(context);
    context.decode = async () => {
      await act();
      await decode();
    };
  };
  before(base!, () => {
    numBase++;
  });
  before(reference!, async () => {
    if (numAtLast === numBase) await look(++numLooks);
    numAtLast = numBase;
  });
}

const question = (text: string) => ({ prompt: { type: "text", text } as const });
const cellsIn = ({ cells }: FakeContext) =>
  [...cells.values()].reduce((sum, tokens) => sum + tokens.length, 0);

it.each([0, 4])(
  "who leaves within a look ahead takes part in no other step and leaves no cell behind (%i kept)",
  async (cacheSequences) => {
    const alone = await startOwn({ sequences: 2 }).run(fakeRequest("b", question("b:")));
    expect(tokensOf(alone)).toEqual([...Array<number>(numTokens).fill(long), END]);
    const { engine, models, run, outcomes, untilIdle } = startOwn({ sequences: 2, cacheSequences });
    const { contexts } = models;
    // The second has come, however slowly, before the first goes on.
    contexts[0]!.gate = entered();
    let numStepsThen = -1;
    onLook(contexts, (nth) => {
      if (nth !== 2) return;
      numStepsThen = contexts[0]!.batchSizes.length;
      engine.cancel("a");
    });
    const idle = untilIdle();
    engine.submit(fakeRequest("a", question("a:")));
    const neighbour = await run(fakeRequest("b", question("b:")));
    await idle;
    expect(neighbour.text).toBe(alone.text);
    const left = outcomes.get("a")!;
    expect([left.error, left.events.some(({ type }) => type === "done")]).toEqual([null, false]);
    // The base has read the text of both, then the neighbour's alone.
    const { batchSizes } = contexts[0]!;
    expect(Math.max(...batchSizes.slice(0, numStepsThen))).toBeGreaterThan(1);
    expect(new Set(batchSizes.slice(numStepsThen))).toEqual(new Set([1]));
    for (const [index, { id }] of models.slots.entries())
      expect(cellsIn(contexts[index]!), id).toBe(engine.stats.cells[id]!.used);
  },
);

it("who has waited too long meanwhile is told after that step, and who runs goes on", async () => {
  const queueTimeoutMs = 5;
  const { engine, models, run, outcomes } = startOwn({ sequences: 1, queueTimeoutMs });
  onLook(models.contexts, async (nth) => {
    if (nth !== 1) return;
    engine.submit(fakeRequest("b", question("b:")));
    await entered();
    const startMs = performance.now();
    while (performance.now() - startMs <= queueTimeoutMs) await setImmediate();
  });
  const running = run(fakeRequest("a", question("a:")));
  await expect.poll(() => outcomes.get("b")?.error, { interval: 0 }).toMatchObject({ code: "queue_timeout" });
  expect((await running).text).toBe(bytesOfLong.repeat(numTokens));
  expect(models.contexts[0]!.batchSizes.slice(1)).toEqual(Array(numTokens).fill(1));
});
