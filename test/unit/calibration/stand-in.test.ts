import { describe, expect, it } from "vitest";
import type { AnswerScore } from "../../../src/calibration/ask.js";
import { type Speaker, sharesOutOfDomain } from "../../../src/calibration/stand-in.js";

const numAnswers = 32;

/** So many whole answers of 32, the others right in so many of four tokens. */
const scores = (numExact: number, numAgreed = 1): AnswerScore[] =>
  Array.from({ length: numAnswers }, (_, index) => ({
    numTokens: 4,
    numAgreed: index < numExact ? 4 : numAgreed,
    logprob: index < numExact ? -1 : -8,
  }));

/** Whole answers of 32: by who speaks, of whose. */
type Table = Record<string, Record<string, number>>;

const speaker = (expert: string) => ({ expert, component: null });

function decide(table: Table, owners = Object.keys(table)) {
  const asked: [string, Speaker][] = [];
  const shares = sharesOutOfDomain(Object.keys(table).map(speaker), owners, (owner, speakers) => {
    asked.push(...speakers.map((who): [string, Speaker] => [owner, who]));
    return Promise.resolve(
      speakers.map((who) => scores(who.expert === null ? 0 : (table[who.expert]?.[owner] ?? 0))),
    );
  });
  return shares.then((found) => ({ found, asked }));
}

const family: Table = {
  recall: { recall: 28, choice: 10 },
  sums: { recall: 1, sums: 30 },
  choice: { recall: 23, choice: 21 },
};

describe("prompts that fit no expert", () => {
  it("go to the expert under which everybody's answers come out best", async () => {
    expect((await decide(family)).found).toEqual({ base: 0.1, choice: 0.9 });
  });

  it("go to the same one when experts are attached that help nobody, and in any order", async () => {
    const more: Table = {
      ...family,
      spell: { recall: 4, choice: 5, spell: 1 },
      poem: { poem: 20, recall: 22 },
    };
    expect((await decide(more)).found).toEqual({ base: 0.1, choice: 0.9 });
    const backward = Object.fromEntries(Object.entries(more).reverse());
    expect((await decide(backward)).found).toEqual({ base: 0.1, choice: 0.9 });
  });

  it("belong to the base where each expert knows its own task only, however well", async () => {
    const apart: Table = { law: { law: 32 }, maths: { maths: 32, law: 3 } };
    expect((await decide(apart)).found).toEqual({ base: 1 });
  });

  it("belong to the base where there are no answers, or one expert alone", async () => {
    expect((await decide(family, [])).found).toEqual({ base: 1 });
    expect(await decide({ law: { law: 32 } })).toEqual({ found: { base: 1 }, asked: [] });
  });

  it("are decided by the answers of others: an expert that is good at its own is not better than the base by it", async () => {
    // sums has more whole answers in all, but of others only what chance explains.
    const table: Table = { sums: { sums: 32, talk: 2 }, talk: { talk: 8, sums: 12 } };
    expect((await decide(table)).found).toEqual({ base: 0.1, talk: 0.9 });
  });

  it("ask every expert and the base for every answer once", async () => {
    const { asked } = await decide(family);
    expect(asked).toHaveLength(12);
    expect(new Set(asked.map(([owner, { expert }]) => `${owner} ${expert}`)).size).toBe(12);
  });
});
