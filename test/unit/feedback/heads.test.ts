import { describe, expect, it } from "vitest";
import { createRandom } from "../../../src/evaluation/random.js";
import { features, numFeatures } from "../../../src/feedback/bag.js";
import { chooseHead, concordanceOf } from "../../../src/feedback/choose-head.js";
import { fitHead, likelihood, type Example } from "../../../src/feedback/heads.js";

const softplus = (z: number) => Math.log1p(Math.exp(z));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Answers whose hazards are planted on two of the numbers; each is right or wrong by chance. */
function planted(count: number, seed = 1) {
  const random = createRandom(seed);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length: count }, (_, index) => {
    const tokens = 5 + Math.floor(random() * 20);
    const bag = Float64Array.from({ length: tokens * numFeatures }, gauss);
    const hazards = Array.from({ length: tokens }, (_unused, t) =>
      softplus(-7 + 3 * bag[t * numFeatures + 2]! + 2.5 * bag[t * numFeatures + 7]!),
    );
    const right = Math.exp(-sum(hazards));
    const example: Example = { bag, score: Number(random() < right), group: String(index) };
    return { example, hazards, right };
  });
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
  const found = new Array<number>(values.length);
  order.forEach((index, rank) => (found[index] = rank));
  return found;
}

function spearman(a: readonly number[], b: readonly number[]): number {
  const [ra, rb] = [ranks(a), ranks(b)];
  const middle = (a.length - 1) / 2;
  const norm = sum(ra.map((rank) => (rank - middle) ** 2));
  return sum(ra.map((rank, i) => (rank - middle) * (rb[i]! - middle))) / norm;
}

describe("planted hazards", () => {
  const examples = planted(300).map(({ example }) => example);
  const unseen = planted(2000, 2);

  it("are found in the tokens from the answers' ratings alone", async () => {
    const head = await fitHead("all", examples);
    // Of each answer many people's mean.
    const graded = planted(300).map(({ example, right }) => ({ ...example, score: right }));
    const gradedHead = await fitHead("all", graded);
    const told = unseen.flatMap(({ example }) => head.credits(example.bag).map((credit) => -credit));
    const order = spearman(
      told,
      unseen.flatMap(({ hazards }) => hazards),
    );
    expect(order).toBeGreaterThanOrEqual(0.95);
    const loss = (of: (answer: (typeof unseen)[number]) => number) =>
      sum(
        unseen.map((answer) => {
          const predicted = Math.min(1 - 1e-9, Math.max(1e-9, of(answer)));
          return -Math.log(answer.example.score === 1 ? predicted : 1 - predicted);
        }),
      );
    expect(
      loss(({ example }) => gradedHead.predict(example.bag)) / loss(({ right }) => right),
    ).toBeLessThanOrEqual(1.02);
    const strongest = Object.entries(head.weights!).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
    const names = strongest.slice(0, 2).map(([name]) => name);
    expect(new Set(names)).toEqual(new Set([features[2].name, features[7].name]));
  });

  it("make cross-validation take that head", async () => {
    const { head, ratings, concordance } = await chooseHead(examples);
    expect(head.name).toBe("all");
    expect(ratings).toBe(300);
    expect(concordance).toBeGreaterThan(0.8);
  });
});

it("graded ratings that are the mean of their tokens make it take the mean", async () => {
  const examples = planted(200).map(({ example }) => {
    const tokens = example.bag.length / numFeatures;
    const scoreOf = (_: unknown, t: number) => 1 / (1 + Math.exp(-example.bag[t * numFeatures + 4]!));
    return { ...example, score: sum(Array.from({ length: tokens }, scoreOf)) / tokens };
  });
  expect((await chooseHead(examples)).head.name).toBe("mean");
});

it("where all ratings are the same, or there are fewer than 40, nothing is fitted", async () => {
  const examples = planted(100).map(({ example }) => example);
  const same = await chooseHead(examples.map((example) => ({ ...example, score: 1 })));
  expect(same).toMatchObject({
    head: { name: "likelihood", weights: null },
    concordance: null,
    ratings: 100,
  });
  const few = await chooseHead(examples.slice(0, 39));
  expect(few).toMatchObject({ head: { name: "likelihood" }, ratings: 39 });
  expect((await chooseHead([])).ratings).toBe(0);
});

it("parts of one answer are never on both sides of a validation", async () => {
  // Every group has numbers of its own, by which a head could know it again.
  const random = createRandom(5);
  const examples = Array.from({ length: 60 }, (_, index): Example[] => {
    const score = Number(random() < 0.5);
    const bag = new Float64Array(numFeatures).map(() => random());
    return Array.from({ length: 4 }, () => ({ bag, score, group: String(index) }));
  }).flat();
  const { concordance } = await chooseHead(examples);
  expect(concordance).toBeLessThan(0.75);
});

describe("credits", () => {
  const examples = planted(80).map(({ example }) => example);
  const { bag } = examples[0]!;
  const withFourth = (value: number) =>
    examples.map((example) => ({
      ...example,
      bag: example.bag.map((own, at) => (at % numFeatures === 3 ? value : own)),
    }));

  it("of all and likelihood sum to ln of the prediction, of the mean to 0", async () => {
    const all = await fitHead("all", examples);
    expect(sum(all.credits(bag))).toBeCloseTo(Math.log(all.predict(bag)), 9);
    expect(sum(likelihood.credits(bag))).toBeCloseTo(Math.log(likelihood.predict(bag)), 9);
    const mean = await fitHead("mean", examples);
    expect(sum(mean.credits(bag))).toBeCloseTo(0, 9);
  });

  it("move with their tokens, and a number that never changes changes nothing", async () => {
    const tokens = bag.length / numFeatures;
    const turned = new Float64Array(bag.length);
    for (let t = 0; t < tokens; t++)
      turned.set(bag.subarray(t * numFeatures, (t + 1) * numFeatures), (tokens - 1 - t) * numFeatures);
    for (const name of ["all", "mean"] as const) {
      const head = await fitHead(name, examples);
      const credits = head.credits(bag);
      head.credits(turned).forEach((credit, t) => expect(credit).toBeCloseTo(credits[tokens - 1 - t]!, 12));
      const [sevens, zeros] = [withFourth(7), withFourth(0)];
      const [one, other] = [await fitHead(name, sevens), await fitHead(name, zeros)];
      expect(one.predict(sevens[0]!.bag)).toBeCloseTo(other.predict(zeros[0]!.bag), 12);
    }
  });

  it("of answers of one token have logistic regression's sign in every head", async () => {
    const random = createRandom(3);
    const bagOf = (surprise: number) =>
      Float64Array.from({ length: numFeatures }, (_, i) => (i === 0 ? surprise : 0));
    const short = Array.from({ length: 200 }, (_, index): Example => {
      const surprise = random() * 4;
      const score = Number(random() < 1 / (1 + Math.exp(2 * (surprise - 2))));
      return { bag: bagOf(surprise), score, group: String(index) };
    });
    for (const head of [await fitHead("all", short), await fitHead("mean", short), likelihood])
      expect(head.predict(bagOf(0.5))).toBeGreaterThan(head.predict(bagOf(3.5)));
  });
});

it("concordance counts pairs of different ratings, equal predictions half", () => {
  const scores = [{ score: 0 }, { score: 0.5 }, { score: 1 }, { score: 1 }];
  expect(concordanceOf(scores, [1, 2, 3, 3])).toEqual({ right: 5, pairs: 5 });
  expect(concordanceOf(scores, [3, 2, 1, 2])).toEqual({ right: 0.5, pairs: 5 });
});
