import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { admissionOrder } from "../../../src/engine/admission.js";

const waiting = (...owners: string[]) => owners.map((owner, arrival) => ({ owner, arrival }));
const order = (
  requests: { owner: string; arrival: number }[],
  shares: [owner: string, numRunning: number, lastStart: number][] = [],
) =>
  admissionOrder(
    requests,
    new Map(shares.map(([owner, numRunning, lastStart]) => [owner, { numRunning, lastStart }])),
  ).map(({ owner, arrival }) => `${owner}${arrival}`);

describe("admissionOrder", () => {
  it("lets owners take turns, each in order of arrival", () => {
    expect(order(waiting("a", "a", "a", "b", "c", "b"))).toEqual(["a0", "b3", "c4", "a1", "b5", "a2"]);
  });

  it("lets an owner with running sequences wait for one with none", () => {
    expect(order(waiting("a", "a", "b"), [["a", 2, 1]])).toEqual(["b2", "a0", "a1"]);
  });

  it("of owners with as many running prefers the one whose last start is longest ago", () => {
    expect(
      order(waiting("a", "b", "c"), [
        ["a", 1, 7],
        ["b", 1, 5],
        ["c", 1, 6],
      ]),
    ).toEqual(["b1", "c2", "a0"]);
  });

  it("keeps everybody, and each owner's own order", () => {
    const owners = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 30 });
    fc.assert(
      fc.property(owners, (all) => {
        const requests = waiting(...all);
        const ordered = admissionOrder(requests, new Map());
        expect(new Set(ordered)).toEqual(new Set(requests));
        for (const owner of "abc") {
          const arrivals = ordered.filter((request) => request.owner === owner).map(({ arrival }) => arrival);
          expect(arrivals).toEqual([...arrivals].sort((x, y) => x - y));
        }
      }),
    );
  });

  it("starts one of every owner before a second of any", () => {
    const owners = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(owners, (all) => {
        const distinct = new Set(all).size;
        const first = admissionOrder(waiting(...all), new Map()).slice(0, distinct);
        expect(new Set(first.map(({ owner }) => owner)).size).toBe(distinct);
      }),
    );
  });
});
