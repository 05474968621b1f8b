import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Arena } from "./arena.js";
import { allAttacks } from "./attacks.js";
import { generousBounds } from "./canary.js";

/** Whatever one client does, the server and its engine live, and another client hardly feels it. */

const seed = Number(process.env["SHOULDERS_TEST_SEED"] ?? 20240611);
const attacks = allAttacks(seed, 2).filter(({ isLong }) => !isLong);

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.start();
});
afterAll(() => arena[Symbol.asyncDispose]());

describe(`attacks (seed ${seed}; SHOULDERS_TEST_SEED draws others)`, () => {
  const named = attacks.map((attack) => [`${attack.kind}: ${attack.name}`, attack] as const);
  test.each(named)("%s", { timeout: 180_000 }, async (_name, attack) => {
    const { problems, excesses } = await arena.attack(attack, generousBounds(arena.idle));
    expect(problems).toEqual([]);
    if (excesses.length === 0) return;
    // Another of the machine's users may have been in the way once; what costs too much costs it again.
    const again = await arena.attack(attack, generousBounds(arena.idle));
    expect([...again.problems, ...again.excesses]).toEqual([]);
  });
});
