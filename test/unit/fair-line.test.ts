import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairLine } from "../../src/fair-line.js";

interface One {
  party: string;
  number: number;
}

describe("FairLine", () => {
  const commands = fc.array(
    fc.oneof(
      fc.record({ push: fc.constantFrom("a", "b", "c") }),
      fc.record({ remove: fc.nat(20) }),
      fc.constant({ take: true }),
    ),
    { maxLength: 60 },
  );

  it("loses nobody, keeps each party's order, and serves every other party before one twice", () => {
    fc.assert(
      fc.property(commands, (all) => {
        const line = new FairLine<One>();
        const waiting: One[] = [];
        /** Parties that waited when one was served, and have not been since. */
        const passedOverBy = new Map<string, Set<string>>();
        for (const [number, command] of all.entries()) {
          if ("push" in command) {
            const one = { party: command.push, number };
            line.push(one);
            waiting.push(one);
          } else if ("remove" in command) {
            const one = waiting[command.remove];
            if (!one) continue;
            waiting.splice(command.remove, 1);
            line.remove(one);
            if (!waiting.some(({ party }) => party === one.party))
              for (const passed of passedOverBy.values()) passed.delete(one.party);
          } else {
            const one = line.take();
            expect(one === null).toBe(waiting.length === 0);
            if (one === null) continue;
            expect(one).toBe(waiting.find(({ party }) => party === one.party));
            expect(passedOverBy.get(one.party)?.size ?? 0).toBe(0);
            waiting.splice(waiting.indexOf(one), 1);
            for (const passed of passedOverBy.values()) passed.delete(one.party);
            const others = waiting.map(({ party }) => party).filter((party) => party !== one.party);
            passedOverBy.set(one.party, new Set(others));
          }
        }
      }),
    );
  });
});
