import path from "node:path";
import { z } from "zod";
import { ShouldersError, systemCode } from "../errors.js";
import { lawSchema } from "./debate.js";
import { checkValue, dottedPath, explainIssues } from "./explain-issues.js";
import { parseJsonText } from "./json-text.js";
import { DEBATE_AUDIT_ENDING } from "./load.js";
import { readTextFile } from "./read-text-file.js";

/** `<id>.debate.json` beside a fusion config: what `shoulders debate audit` found of its debates. */

export const debateOutcomes = ["use", "no gain", "harms"] as const;
export type DebateOutcomeName = (typeof debateOutcomes)[number];

const mostAuditBytes = 1024 * 1024;

const share = z.number().min(0).max(1);

const taskSchema = z.strictObject({
  items: z.int().min(1),
  outcome: z.enum(debateOutcomes),
  accuracy: z
    .strictObject({
      judge: share,
      oneSide: share,
      critique: share,
      debate: share,
      chanceQuotes: share.nullable(),
      critic: share,
    })
    .describe("Share of right verdicts, by way to come to them."),
  ahead: z
    .record(
      z.string(),
      z.strictObject({
        difference: z.number(),
        low: z.number(),
        high: z.number(),
        better: z.int().min(0),
        worse: z.int().min(0),
        p: share.describe("McNemar's exact test."),
      }),
    )
    .describe("The debate's accuracy less that of another way, with its 95 % interval."),
});

export const debateAuditSchema = z.strictObject({
  version: z.literal(1),
  config: z.string(),
  digest: z.string().describe("Of the config when it was audited: an audit of other models says nothing."),
  date: z.iso.datetime(),
  settings: z.strictObject({
    turns: z.int(),
    seeds: z.int(),
    advocate: z.enum(["base", "fused"]),
    panel: z.array(lawSchema),
    orders: z.enum(["both", "given"]),
    arguments: z.enum(["quotes", "text"]),
    quotes: z.enum(["verified", "off"]),
    templates: z.strictObject({ advocate: z.string(), argument: z.string(), panel: z.string() }),
    max_tokens: z.int(),
    margin: share,
    seed: z.int(),
  }),
  tasks: z.record(z.string(), taskSchema),
});

export type DebateAudit = z.output<typeof debateAuditSchema>;
export type AuditedDebateTask = z.output<typeof taskSchema>;

/** The worst of several outcomes. */
export function worstOutcome(outcomes: readonly DebateOutcomeName[]): DebateOutcomeName {
  return [...debateOutcomes].reverse().find((outcome) => outcomes.includes(outcome)) ?? "no gain";
}

/** Where the audit of a fusion config lies. */
export function debateAuditPathOf(configFile: string, id: string): string {
  return path.join(path.dirname(configFile), `${id}${DEBATE_AUDIT_ENDING}`);
}

/** The audit beside a config; null: there is none. @throws ShouldersError `calibration_invalid` that names the place */
export function loadDebateAudit(configFile: string, id: string): DebateAudit | null {
  const file = debateAuditPathOf(configFile, id);
  const refused = (place: string, reason: string, cause?: unknown) =>
    new ShouldersError(
      "calibration_invalid",
      `${place}: ${reason}. Run \`shoulders debate audit\` again, or delete this file to go without it.`,
      { cause },
    );
  let text: string;
  try {
    text = readTextFile(file, mostAuditBytes);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return null;
    throw refused(file, `cannot be read (${error instanceof Error ? error.message : String(error)})`, error);
  }
  const json = parseJsonText(text);
  if (!json.ok)
    throw refused(`${file}:${json.position.line}:${json.position.column}`, `not JSON: ${json.message}`);
  const checked = checkValue(debateAuditSchema, json.value);
  if (checked.isValid) return checked.data;
  const [problem] = explainIssues(debateAuditSchema, json.value, checked.issues);
  const { line, column } = json.positionOf(problem?.path ?? []);
  throw refused(`${file}:${line}:${column}`, `${dottedPath(problem?.path ?? [])}: ${problem?.message ?? ""}`);
}
