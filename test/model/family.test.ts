import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type FamilyScores, measureFamilyScores, scoresPath } from "../../scripts/family-scores.js";
import { loadFusionConfigs } from "../../src/config/load.js";
import { root } from "../support/real-engine.js";

const expected = JSON.parse(readFileSync(scoresPath, "utf8")) as FamilyScores;

describe("the shipped fusion configs", () => {
  it("score on the family's tasks what they scored when scores.json was written", () => {
    const { scores } = measureFamilyScores();
    for (const { config } of loadFusionConfigs(path.join(root, "fusion-configs")))
      expect(Object.keys(scores), config.id).toContain(config.id);
    expect(Object.keys(scores).sort()).toEqual(Object.keys(expected.scores).sort());
    for (const [config, tasks] of Object.entries(expected.scores))
      for (const [task, score] of Object.entries(tasks))
        expect(Math.abs(scores[config]![task]! - score), `${config}, ${task}`).toBeLessThanOrEqual(
          expected.tolerance,
        );
  }, 300_000);
});
