import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Report } from "../src/evaluation/report.js";
import { root } from "./generated-docs.js";

/** What the shipped fusion configs score on the first items of the family's tasks. */
export interface FamilyScores {
  /** Items of each task. */
  numItems: number;
  /** How far a score may be off before something is wrong: other machines round near-ties otherwise. */
  tolerance: number;
  /** Config id to task to score. */
  scores: Record<string, Record<string, number>>;
}

export const scoresPath = path.join(root, "test/data/family/scores.json");
const suitePath = path.join(root, "test/data/family/suite.json");
const numItems = 20;
/** Two of twenty items. */
const tolerance = 0.101;

/** Asks the built program, as a person would. */
export function measureFamilyScores(): FamilyScores {
  const out = mkdtempSync(path.join(tmpdir(), "family-"));
  const limits = ["--limit", String(numItems), "--concurrency", "32", "--threads", "1", "--backend", "cpu"];
  try {
    execFileSync(process.execPath, ["dist/main.js", "eval", "--suite", suitePath, ...limits, "--out", out], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const { tasks } = JSON.parse(readFileSync(path.join(out, "report.json"), "utf8")) as Report;
    const scores: FamilyScores["scores"] = {};
    for (const [task, methods] of Object.entries(tasks))
      for (const [method, { score }] of Object.entries(methods))
        (scores[method.replace(/^fusion:/, "")] ??= {})[task] = score ?? NaN;
    return { numItems, tolerance, scores };
  } finally {
    rmSync(out, { recursive: true });
  }
}
