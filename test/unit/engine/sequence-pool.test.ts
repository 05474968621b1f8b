import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SequencePool, type SequenceLease } from "../../../src/engine/sequence-pool.js";

describe("SequencePool", () => {
  it("gives out ids from 0 and takes them back", () => {
    const pool = new SequencePool(2, [100]);
    const claim = [{ model: 0, numCells: 10 }];
    const [a, b] = [pool.lease(claim), pool.lease(claim)];
    expect([a?.sequenceId, b?.sequenceId]).toEqual([0, 1]);
    expect(pool.lease(claim)).toBeNull();
    pool.release(a!);
    expect(pool.lease(claim)?.sequenceId).toBe(0);
  });

  it("refuses what does not fit in one model, and claims nothing in the others then", () => {
    const pool = new SequencePool(4, [100, 20]);
    expect(
      pool.lease([
        { model: 0, numCells: 50 },
        { model: 1, numCells: 21 },
      ]),
    ).toBeNull();
    expect(pool.usage()).toEqual([
      { used: 0, total: 100 },
      { used: 0, total: 20 },
    ]);
  });

  it("never claims more than there is, and ends where it began", () => {
    const claims = fc.array(fc.nat(40), { minLength: 2, maxLength: 2 });
    fc.assert(
      fc.property(fc.array(fc.tuple(claims, fc.nat(5)), { maxLength: 40 }), (requests) => {
        const pool = new SequencePool(4, [60, 80]);
        const held: SequenceLease[] = [];
        for (const [cells, index] of requests) {
          const lease = pool.lease(cells.map((numCells, model) => ({ model, numCells })));
          if (lease) held.push(lease);
          else if (held.length > 0) pool.release(held.splice(index % held.length, 1)[0]!);
          for (const { used, total } of pool.usage()) expect(used).toBeLessThanOrEqual(total);
          expect(new Set(held.map(({ sequenceId }) => sequenceId)).size).toBe(held.length);
        }
        for (const lease of held) pool.release(lease);
        expect(pool.usage().map(({ used }) => used)).toEqual([0, 0]);
      }),
    );
  });
});

describe("what could be had", () => {
  it("counts what others would give back", () => {
    const pool = new SequencePool(2, [100]);
    const first = pool.lease([{ model: 0, numCells: 80 }])!;
    expect(pool.wouldFit([{ model: 0, numCells: 50 }], [])).toBe(false);
    expect(pool.wouldFit([{ model: 0, numCells: 50 }], [first])).toBe(true);
    expect(pool.wouldFit([{ model: 0, numCells: 101 }], [first])).toBe(false);
  });

  it("keeps the id of a lease whose claims change", () => {
    const pool = new SequencePool(2, [100]);
    const lease = pool.lease([{ model: 0, numCells: 80 }])!;
    const smaller = pool.reclaim(lease, [{ model: 0, numCells: 30 }]);
    expect(smaller.sequenceId).toBe(lease.sequenceId);
    expect(pool.usage()).toEqual([{ used: 30, total: 100 }]);
    expect(pool.holds(lease)).toBe(false);
    expect(pool.holds(smaller)).toBe(true);
    expect(() => pool.release(lease)).toThrow(/released twice/);
  });
});
