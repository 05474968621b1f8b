import { describe, expect, it } from "vitest";
import { Turns } from "../../../src/api/access/turns.js";

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Works that take so many ms of a clock of their own, and what was worked on. */
function workshop() {
  let nowMs = 0;
  const worked: string[] = [];
  const turns = new Turns(() => nowMs);
  const take = (name: string, ms: number) =>
    turns.take(name.slice(0, 1), () => {
      nowMs += ms;
      worked.push(name);
    });
  const pass = (ms: number) => (nowMs += ms);
  return { turns, take, worked, pass };
}

describe("Turns", () => {
  it("works at once while the turn has time, and leaves the rest to later turns, in which parties take turns", async () => {
    const { take, worked } = workshop();
    for (const name of ["a1", "a2", "a3", "a4", "b1"]) take(name, 3);
    expect(worked).toEqual(["a1", "a2"]);
    const lengths: number[] = [];
    while (worked.length < 5) {
      await nextTurn();
      lengths.push(worked.length);
    }
    expect(worked).toEqual(["a1", "a2", "a3", "b1", "a4"]);
    for (const [index, length] of lengths.entries())
      expect(length - (lengths[index - 1] ?? 2)).toBeLessThanOrEqual(2);
  });

  it("counts what came one by one within a turn together", async () => {
    const { take, worked } = workshop();
    take("a1", 20);
    take("b1", 1);
    expect(worked).toEqual(["a1"]);
    while (worked.length < 2) await nextTurn();
    take("b2", 1);
    expect(worked).toEqual(["a1", "b1", "b2"]);
  });

  it("lets requests wait while connections come, for a while, and then works although they come", async () => {
    const { turns, take, worked, pass } = workshop();
    turns.connected();
    take("a1", 20);
    await nextTurn();
    expect(worked).toEqual([]);
    // None came in this turn.
    await nextTurn();
    expect(worked).toEqual(["a1"]);
    let numTurns = 0;
    for (const name of ["a2", "a3", "a4"]) take(name, 20);
    while (worked.length < 4 && numTurns < 1000) {
      turns.connected();
      pass(10);
      await nextTurn();
      numTurns++;
    }
    expect(worked).toEqual(["a1", "a2", "a3", "a4"]);
    expect(numTurns).toBeGreaterThan(10);
    expect(numTurns).toBeLessThan(40);
  });

  it("goes on with the next where one's work throws", async () => {
    const { turns, take, worked } = workshop();
    take("a1", 20);
    take("a2", 1);
    await nextTurn();
    expect(() =>
      turns.take("b", () => {
        throw new Error("wrong");
      }),
    ).toThrow("wrong");
    take("a3", 1);
    while (worked.length < 3) await nextTurn();
    expect(worked).toEqual(["a1", "a2", "a3"]);
  });

  it("runs parts of longer work in their turn, and hands on what they return or throw", async () => {
    const { turns, take, worked } = workshop();
    take("a1", 20);
    const part = turns.run("b", () => worked.push("part"));
    expect(worked).toEqual(["a1"]);
    expect(await part).toBe(2);
    const wrong = turns.run("b", () => {
      throw new Error("wrong");
    });
    await expect(wrong).rejects.toThrow("wrong");
  });
});
