import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { admissionOrder, overflow, whoYields } from "../../../src/engine/admission.js";

const waiting = (...parties: string[]) => parties.map((party, arrival) => ({ party, arrival }));
const order = (
  requests: { party: string; arrival: number }[],
  shares: [party: string, numRunning: number, lastStart: number][] = [],
) =>
  admissionOrder(
    requests,
    new Map(shares.map(([party, numRunning, lastStart]) => [party, { numRunning, lastStart }])),
  ).map(({ party, arrival }) => `${party}${arrival}`);

describe("admissionOrder", () => {
  it("lets parties take turns, each in order of arrival", () => {
    expect(order(waiting("a", "a", "a", "b", "c", "b"))).toEqual(["a0", "b3", "c4", "a1", "b5", "a2"]);
  });

  it("lets an party with running sequences wait for one with none", () => {
    expect(order(waiting("a", "a", "b"), [["a", 2, 1]])).toEqual(["b2", "a0", "a1"]);
  });

  it("of parties with as many running prefers the one whose last start is longest ago", () => {
    expect(
      order(waiting("a", "b", "c"), [
        ["a", 1, 7],
        ["b", 1, 5],
        ["c", 1, 6],
      ]),
    ).toEqual(["b1", "c2", "a0"]);
  });

  it("keeps everybody, and each party's own order", () => {
    const parties = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 30 });
    fc.assert(
      fc.property(parties, (all) => {
        const requests = waiting(...all);
        const ordered = admissionOrder(requests, new Map());
        expect(new Set(ordered)).toEqual(new Set(requests));
        for (const party of "abc") {
          const arrivals = ordered.filter((request) => request.party === party).map(({ arrival }) => arrival);
          expect(arrivals).toEqual([...arrivals].sort((x, y) => x - y));
        }
      }),
    );
  });

  it("starts one of every party before a second of any", () => {
    const parties = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(parties, (all) => {
        const distinct = new Set(all).size;
        const first = admissionOrder(waiting(...all), new Map()).slice(0, distinct);
        expect(new Set(first.map(({ party }) => party)).size).toBe(distinct);
      }),
    );
  });
});

const parties = fc.constantFrom("a", "b", "c", "d");
const claimsOf = fc
  .array(fc.record({ party: parties, places: fc.nat(4), tokens: fc.nat(1000) }), { maxLength: 40 })
  .map((all) => all.map((claim, arrival) => ({ ...claim, arrival })));
const roomOf = fc.record({
  numFree: fc.nat(8),
  maxWaiting: fc.nat(40),
  maxWaitingTokens: fc.integer({ min: 1, max: 5000 }),
});
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

describe("overflow", () => {
  it("leaves what fits, and one that waits alone", () => {
    fc.assert(
      fc.property(claimsOf, roomOf, (claims, room) => {
        const leaving = overflow(claims, room);
        expect(new Set(leaving).size).toBe(leaving.length);
        const stays = claims.filter((claim) => !leaving.includes(claim));
        expect(sum(stays.map(({ places }) => places))).toBeLessThanOrEqual(room.numFree + room.maxWaiting);
        let numStarting = 0;
        const waits = stays.filter(({ places }) => (numStarting += places) > room.numFree);
        const tokens = sum(waits.map((claim) => claim.tokens));
        expect(waits.length <= 1 || tokens <= room.maxWaitingTokens).toBe(true);
      }),
    );
  });

  it("takes nothing from a party within its even share of places and tokens, whatever others do", () => {
    fc.assert(
      fc.property(claimsOf, roomOf, (claims, room) => {
        const leaving = overflow(claims, room);
        const all = new Set(claims.map(({ party }) => party));
        for (const party of all) {
          const own = claims.filter((claim) => claim.party === party);
          const places = sum(own.map((claim) => claim.places));
          const tokens = sum(own.map((claim) => claim.tokens));
          const isWithin =
            places <= (room.numFree + room.maxWaiting) / all.size &&
            tokens <= room.maxWaitingTokens / all.size;
          if (isWithin) expect(leaving.some((claim) => claim.party === party)).toBe(false);
        }
      }),
    );
  });

  it("takes a party's newest, and nothing where all has room", () => {
    fc.assert(
      fc.property(claimsOf, fc.integer({ min: 1, max: 40 }), (claims, maxWaiting) => {
        const places = sum(claims.map((claim) => claim.places));
        const leaving = overflow(claims, { numFree: 0, maxWaiting, maxWaitingTokens: 1_000_000 });
        if (places <= maxWaiting) expect(leaving).toEqual([]);
        for (const gone of leaving)
          for (const claim of claims)
            if (claim.party === gone.party && claim.arrival > gone.arrival) expect(leaving).toContain(claim);
      }),
    );
  });

  it("of parties that claim as much takes from the one that came last", () => {
    const claims = waiting("a", "b", "c").map((claim) => ({ ...claim, places: 1, tokens: 1 }));
    const room = { numFree: 0, maxWaiting: 2, maxWaitingTokens: 10 };
    expect(overflow(claims, room)).toEqual([claims[2]]);
  });
});

describe("whoYields", () => {
  it("evens out: after as many changes as there are places nobody runs two more than one who waits", () => {
    fc.assert(
      fc.property(fc.array(parties, { minLength: 1, maxLength: 16 }), parties, (all, party) => {
        let running = waiting(...all);
        let arrival = all.length;
        const numOf = (one: string) => running.filter((other) => other.party === one).length;
        for (let turn = 0; turn < all.length; turn++) {
          const chosen = whoYields(party, running);
          if (chosen === null) break;
          expect(numOf(chosen.party)).toBe(Math.max(...running.map((other) => numOf(other.party))));
          const newest = running.filter((other) => other.party === chosen.party).at(-1);
          expect(chosen).toBe(newest);
          running = [...running.filter((other) => other !== chosen), { party, arrival: arrival++ }];
        }
        expect(running.length).toBe(all.length);
        const most = Math.max(...running.map((other) => numOf(other.party)));
        expect(most - numOf(party)).toBeLessThanOrEqual(1);
        // What has yielded would not get its place back.
        for (const other of new Set(all)) {
          const back = whoYields(other, running);
          if (back?.party === party) expect(numOf(party)).toBeGreaterThanOrEqual(numOf(other) + 2);
        }
      }),
    );
  });
});
