import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isDecoding, schedule, type SequenceView } from "../../../src/engine/scheduler.js";

const view = (...remaining: number[]): SequenceView => ({
  cursors: remaining.map((numRemaining, model) => ({ model, numRemaining, numTail: 1 })),
  routing: null,
  isReading: true,
  isSettled: false,
});

const prompts = { prefillTokens: 64, routingRows: 6 };

describe("schedule", () => {
  it("lets decoding sequences go first, whatever the order of arrival", () => {
    const prompt = view(100, 100);
    const decoding = view(1, 1);
    const plan = schedule([prompt, decoding], [10, 10], prompts);
    expect(plan.map(({ sequence }) => sequence)).toEqual([decoding, prompt]);
    expect(plan[1]).toMatchObject({ numTokens: [9, 9], completes: false });
  });

  it("gives prompts no more than the prefill budget while others decode, and all there is otherwise", () => {
    const prompt = view(100, 3);
    const decoding = view(1, 1);
    expect(schedule([prompt, decoding], [64, 64], { ...prompts, prefillTokens: 8 })[1]).toMatchObject({
      numTokens: [8, 2],
    });
    expect(schedule([prompt], [64, 64], { ...prompts, prefillTokens: 8 })[0]).toMatchObject({
      numTokens: [64, 2],
    });
  });

  it("holds the last token of the shorter prompt until the longer one can end in the same step", () => {
    const sequence = view(30, 3);
    expect(schedule([sequence], [16, 16], prompts)).toMatchObject([
      { sequence, numTokens: [16, 2], completes: false },
    ]);
    const later = view(14, 1);
    expect(schedule([later], [16, 16], prompts)).toMatchObject([
      { sequence: later, numTokens: [14, 1], completes: true },
    ]);
  });

  it("asks for all rows of a sequence that wants several", () => {
    const tail = (numRemaining: number): SequenceView => ({
      ...view(),
      cursors: [{ model: 0, numRemaining, numTail: 4 }],
    });
    expect(schedule([tail(9)], [8], prompts)).toMatchObject([{ numTokens: [5], completes: false }]);
    expect(schedule([tail(4)], [8], prompts)[0]?.completes).toBe(true);
  });

  it("decodes all but the last token of a prompt that is being routed, alone or beside others", () => {
    const routing = { ...view(3, 5), routing: { model: 1, numBefore: 4 } };
    expect(schedule([routing], [16, 16], prompts)).toMatchObject([
      { sequence: routing, numTokens: [2, 4], completes: false },
    ]);
    const decoding = view(1, 1);
    expect(schedule([routing, decoding], [16, 3], prompts)).toMatchObject([
      { sequence: decoding, numTokens: [1, 1], completes: true },
      { sequence: routing, numTokens: [2, 2], completes: false },
    ]);
    // One that has come to its last tokens is no decoding sequence: it waits for its other models.
    const waiting = { ...view(1, 1), routing: { model: 1, numBefore: 0 } };
    expect(isDecoding(waiting)).toBe(false);
    expect(schedule([waiting], [16, 16], prompts)).toEqual([]);
  });

  it("takes no more rows that tell about prompts than there is room for, in order", () => {
    const first = { ...view(30, 30), routing: { model: 1, numBefore: 20 } };
    const second = { ...view(12, 12), routing: { model: 1, numBefore: 0 } };
    const third = { ...view(9, 9), routing: { model: 1, numBefore: 3 } };
    const plan = schedule([first, second, third], [256, 256], { prefillTokens: 64, routingRows: 12 });
    // 9 rows of the first, 3 of the second, and only what comes before them of the third.
    expect(plan.map(({ numTokens }) => numTokens)).toEqual([
      [29, 29],
      [11, 3],
      [8, 3],
    ]);
  });

  const sequences = fc.array(
    fc
      .array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 3 })
      .map((remaining) => view(...remaining)),
    { minLength: 1, maxLength: 8 },
  );
  /** The base and the reference read a prompt; a third model joins once they have. */
  const routedSequences = fc.array(
    fc
      .tuple(
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
      )
      .map(([base, reference, expert]) => {
        const routing = { model: 1, numBefore: Math.max(0, reference - 9) };
        return { view: { ...view(base, reference), routing }, expert };
      }),
    { minLength: 1, maxLength: 8 },
  );
  const budgets = fc.array(fc.integer({ min: 8, max: 64 }), { minLength: 3, maxLength: 3 });

  it("stays within every budget, and always gets on", () => {
    fc.assert(
      fc.property(sequences, budgets, (all, limits) => {
        const plan = schedule(all, limits, prompts);
        expect(plan.length).toBeGreaterThan(0);
        limits.forEach((limit, model) => {
          const used = plan.flatMap(({ sequence, numTokens }) =>
            sequence.cursors.map((cursor, index) => (cursor.model === model ? numTokens[index]! : 0)),
          );
          expect(used.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(limit);
        });
        for (const { sequence, numTokens, completes } of plan)
          sequence.cursors.forEach((cursor, index) => {
            if (completes) expect(numTokens[index]).toBe(cursor.numRemaining);
            else expect(numTokens[index]).toBeLessThan(cursor.numRemaining);
          });
      }),
    );
  });

  it("brings every sequence to its rows", () => {
    fc.assert(
      fc.property(sequences, budgets, (all, limits) => {
        let left = all;
        for (let step = 0; left.length > 0; step++) {
          expect(step).toBeLessThan(1000);
          const plan = schedule(left, limits, prompts);
          const finished = new Set(plan.filter(({ completes }) => completes).map(({ sequence }) => sequence));
          const taken = new Map(plan.map(({ sequence, numTokens }) => [sequence, numTokens]));
          left = left
            .filter((sequence) => !finished.has(sequence))
            .map((sequence) => ({
              ...sequence,
              cursors: sequence.cursors.map((cursor, index) => ({
                ...cursor,
                numRemaining: cursor.numRemaining - (taken.get(sequence)?.[index] ?? 0),
              })),
            }));
        }
      }),
    );
  });

  it("brings every routed sequence to its rows, in all models in the same step", () => {
    fc.assert(
      fc.property(routedSequences, budgets, (all, limits) => {
        let left: { view: SequenceView; expert: number }[] = all;
        for (let step = 0; left.length > 0; step++) {
          expect(step).toBeLessThan(1000);
          const plan = schedule(
            left.map(({ view }) => view),
            limits,
            prompts,
          );
          expect(plan.length).toBeGreaterThan(0);
          const rows = plan.map(({ sequence: { routing }, numTokens }) =>
            routing === null ? 0 : Math.max(0, numTokens[1]! - routing.numBefore),
          );
          expect(rows.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(prompts.routingRows);
          left = left.flatMap(({ view, expert }) => {
            const planned = plan.find(({ sequence }) => sequence === view);
            if (planned?.completes) {
              expect(view.cursors).toHaveLength(3);
              return [];
            }
            const cursors = view.cursors.map(({ model, numRemaining, numTail }, index) => ({
              model,
              numTail,
              numRemaining: numRemaining - (planned?.numTokens[index] ?? 0),
            }));
            expect(cursors.every(({ numRemaining }) => numRemaining >= 1)).toBe(true);
            // The reference's last token but one has been read.
            const isRouted = view.routing !== null && cursors[1]!.numRemaining === 1;
            if (isRouted) cursors.push({ model: 2, numRemaining: expert, numTail: 1 });
            const numBefore = Math.max(0, (view.routing?.numBefore ?? 0) - (planned?.numTokens[1] ?? 0));
            const routing = view.routing === null || isRouted ? null : { model: 1, numBefore };
            return [{ view: { ...view, cursors, routing }, expert }];
          });
        }
      }),
    );
  });

  it("wants nothing more of a model whose row is in hand", () => {
    const cursors = [
      { model: 0, numRemaining: 5, numTail: 1 },
      { model: 1, numRemaining: 0, numTail: 0 },
    ];
    const sequence = { ...view(), cursors, isReading: false };
    expect(schedule([sequence], [16, 16], prompts)).toMatchObject([{ numTokens: [5, 0], completes: true }]);
    // What the base is behind is read in parts where there is no room for all of it.
    expect(schedule([sequence], [3, 16], prompts)).toMatchObject([{ numTokens: [3, 0], completes: false }]);
  });

  it("lets a model catch up without its row where the token is settled, after all that wait for theirs", () => {
    const settled = { ...view(9, 1), isReading: false, isSettled: true };
    const decoding = view(1, 1);
    expect(schedule([settled, decoding], [16, 16], prompts)).toMatchObject([
      { sequence: decoding, completes: true },
      { sequence: settled, numTokens: [8, 0], completes: false },
    ]);
    expect(schedule([{ ...settled, cursors: view(1, 1).cursors }], [16, 16], prompts)).toEqual([]);
  });

  it("takes every decoding sequence in full when the budgets hold them", () => {
    fc.assert(
      fc.property(sequences, (all) => {
        const decoding = Array.from({ length: 8 }, () => view(1, 1, 1));
        const plan = schedule([...all, ...decoding], [16, 16, 16], prompts);
        for (const sequence of decoding)
          expect(plan.find((planned) => planned.sequence === sequence)?.completes).toBe(true);
      }),
    );
  });
});
