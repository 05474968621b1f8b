import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bodies } from "../../../src/api/access/bodies.js";

describe("Bodies", () => {
  it("gives who is alone half of the room, and the next ones what is left in the order in which they came", () => {
    const bodies = new Bodies(100);
    const read: number[] = [];
    const leave = Array.from({ length: 7 }, (_, index) =>
      bodies.hold({ party: "a", bytes: 10, read: () => read.push(index) }),
    );
    expect(read).toEqual([0, 1, 2, 3, 4]);
    leave[2]?.();
    expect(read).toEqual([0, 1, 2, 3, 4, 5]);
    // One who leaves the line before he is read frees nothing.
    leave[6]?.();
    leave[0]?.();
    leave[1]?.();
    expect(read).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("reads a body of any size for one who is alone, and nobody's twice", () => {
    const bodies = new Bodies(100);
    let numRead = 0;
    const leave = bodies.hold({ party: "a", bytes: 1000, read: () => numRead++ });
    expect(numRead).toBe(1);
    leave();
    bodies.hold({ party: "b", bytes: 1000, read: () => numRead++ });
    expect(numRead).toBe(2);
  });

  it("holds no more than its room, and has room for all again once they have left", () => {
    const asks = fc.array(
      fc.record({ party: fc.constantFrom("a", "b", "c", "d"), bytes: fc.integer({ min: 1, max: 20 }) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(asks, fc.infiniteStream(fc.nat()), (given, draws) => {
        const bodies = new Bodies(100);
        const held = new Map<number, number>();
        const numRead = Array.from(given, () => 0);
        const open = given.map(({ party, bytes }, index) => ({
          index,
          leave: bodies.hold({
            party,
            bytes,
            read: () => {
              numRead[index]!++;
              held.set(index, bytes);
            },
          }),
        }));
        while (open.length > 0) {
          expect([...held.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(100);
          // Somebody is always read.
          expect(held.size).toBeGreaterThan(0);
          const at = draws.next().value % open.length;
          const [left] = open.splice(at, 1);
          held.delete(left!.index);
          left!.leave();
        }
        expect(Math.max(0, ...numRead)).toBeLessThanOrEqual(1);
        let isRead = false;
        bodies.hold({ party: "a", bytes: 50, read: () => (isRead = true) });
        expect(isRead).toBe(true);
      }),
    );
  });
});
