import path from "node:path";
import { z } from "zod";
import { confidenceSchema } from "../config/confidence.js";
import { checkValue, dottedPath, explainIssues } from "../config/explain-issues.js";
import { componentSchema, mostExperts, mostNamed } from "../strategies/fields.js";
import { CARD_ENDING } from "../config/load.js";
import { parseJsonText } from "../config/json-text.js";
import { codedRecordOf } from "../strategies/record-of.js";
import { readTextFile } from "../config/read-text-file.js";
import { ShouldersError, systemCode } from "../errors.js";
import { mostFeatureRows } from "./feature.js";

/** The calibration card `<id>.card.json` beside a fusion config: what `shoulders calibrate` found out about it. */

/** Raised whenever the feature or the meaning of a field changes. */
export const CARD_VERSION = 2;

/** One of 16 experts has some hundred kilobytes. */
const mostCardBytes = 4 * 1024 * 1024;

/** Float32 numbers, little-endian, in base64. */
const numbers = z.codec(z.base64(), z.instanceof(Float32Array), {
  decode: (text, context) => {
    const bytes = Buffer.from(text, "base64");
    if (bytes.length % 4 !== 0)
      context.issues.push({ code: "custom", input: text, message: "not float32 numbers" });
    const decoded = new Float32Array(bytes.length >> 2);
    for (let index = 0; index < decoded.length; index++) decoded[index] = bytes.readFloatLE(4 * index);
    if (!decoded.every(Number.isFinite))
      context.issues.push({ code: "custom", input: text, message: "not finite numbers" });
    return decoded;
  },
  encode: (values) => {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, index) => bytes.writeFloatLE(value, 4 * index));
    return bytes.toString("base64");
  },
});

const fingerprintSchema = z.strictObject({
  file: z.string().describe("The file's name when the card was made, for people."),
  bytes: z.int().min(0),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe("Of the sampled bytes: see fingerprint.ts."),
});

const trialSchema = z.strictObject({
  ...componentSchema.shape,
  exact: z.number().min(0).max(1).describe("Share of the given answers that greedy decoding would give."),
  agreed: z
    .number()
    .min(0)
    .max(1)
    .describe("Share of their tokens that are the most likely ones, what is before given."),
  logprob: z.number().describe("Mean log-likelihood of a token, nats; what is excluded counts as −20."),
});

const expertSchema = z.strictObject({
  id: z.string(),
  model: fingerprintSchema.describe("Of the expert's file: a model, or an adapter of the reference."),
  scale: z.number().optional().describe("Of an adapter."),
  numPrompts: z.int().min(1),
  numAnswers: z.int().min(0),
  component: componentSchema
    .nullable()
    .describe("Under which the given answers are most likely; null: no answers were given."),
  trials: z.array(trialSchema).max(1_000),
});

const priorSchema = z.strictObject({
  whitening: numbers.describe("L⁻¹ of the shared within-class covariance L·Lᵀ: rows of the lower triangle."),
  classes: z
    .array(
      z.strictObject({
        expert: z.string().nullable().describe("null: prompts that fit no expert."),
        mean: numbers.describe("L⁻¹ times the mean feature."),
      }),
    )
    .max(mostNamed),
  temperature: z.number().min(1e-6).describe("Divides the squared distances in the choice among classes."),
  none: z
    .strictObject({
      distance: z.number().gt(0),
      slope: z.number().gt(0),
      prompts: z
        .array(numbers)
        .max(1_000)
        .default([])
        .describe(
          "L⁻¹ times the features of prompts of no task: what is nearer to one of them fits no expert.",
        ),
      shares: codedRecordOf(z.number().min(0).max(1), mostNamed).describe(
        "Who answers such prompts: by expert id and base, in proportion.",
      ),
    })
    .describe(
      "No expert: σ(slope · ln(d² / distance)), d² the squared distance to the nearest expert's mean; " +
        "the distance to the nearest of the prompts, where that is less.",
    ),
  floor: z
    .number()
    .gt(0)
    .lt(1)
    .describe("Part of the prior that is spread evenly, for errors of the classifier."),
});

const figuresSchema = z.strictObject({
  accuracy: z
    .number()
    .min(0)
    .max(1)
    .describe("Leave-one-out: share of the prompts whose largest share is theirs."),
  logLoss: z
    .number()
    .min(0)
    .describe("Leave-one-out: mean −ln of the share that a prompt's own expert gets, nats."),
  confusion: z
    .array(z.strictObject({ given: z.string(), largest: codedRecordOf(z.int().min(0), mostNamed) }))
    .describe("Leave-one-out: given expert (or base) to how often each had the largest share."),
  leftOut: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe("Mean of none over the prompts of an expert that was left out; null with one expert."),
});

const fieldsSchema = z.strictObject({
  version: z.literal(CARD_VERSION),
  config: z.string(),
  date: z.iso.datetime(),
  base: fingerprintSchema,
  reference: fingerprintSchema,
  experts: z.array(expertSchema).min(1).max(mostExperts),
  vocabularySize: z.int().min(1).describe("Length of the common vocabulary, over which features are taken."),
  feature: z.strictObject({
    seed: z.int().min(0),
    dimension: z.int().min(2).max(4096),
    numRows: z
      .int()
      .min(1)
      .max(mostFeatureRows)
      .describe("Tokens at the end of a prompt that it is taken over."),
  }),
  figures: figuresSchema,
  prior: priorSchema,
  confidence: confidenceSchema
    .optional()
    .describe(
      "How far verdicts lean on the base; left out: not at all, since nothing else was found better.",
    ),
});

const cardSchema = fieldsSchema.check(({ value, issues }) => {
  const problem = (path: (string | number)[], message: string): void => {
    issues.push({ code: "custom", input: value, path, message });
  };
  const { dimension } = value.feature;
  if ((dimension & (dimension - 1)) !== 0) problem(["feature", "dimension"], "must be a power of two");
  if (value.prior.whitening.length !== (dimension * (dimension + 1)) / 2)
    problem(["prior", "whitening"], `not a triangle of ${dimension} rows`);
  const ids = value.experts.map(({ id }) => id);
  value.prior.classes.forEach(({ expert, mean }, index) => {
    if (mean.length !== dimension) problem(["prior", "classes", index, "mean"], `not ${dimension} numbers`);
    if (expert !== null && !ids.includes(expert))
      problem(["prior", "classes", index, "expert"], "no such expert in this card");
  });
  value.prior.none.prompts.forEach(({ length }, index) => {
    if (length !== dimension) problem(["prior", "none", "prompts", index], `not ${dimension} numbers`);
  });
  const outOfDomainShares = Object.entries(value.prior.none.shares);
  for (const [id] of outOfDomainShares)
    if (id !== "base" && !ids.includes(id))
      problem(["prior", "none", "shares", id], "no such expert in this card");
  if (outOfDomainShares.every(([, share]) => share === 0))
    problem(["prior", "none", "shares"], "one share at least must be above 0");
  for (const [index, id] of ids.entries())
    if (value.prior.classes.filter(({ expert }) => expert === id).length !== 1)
      problem(["experts", index, "id"], "an expert needs one class of the prior");
});

export type Card = z.output<typeof cardSchema>;
export type ExpertCard = Card["experts"][number];
export type Trial = z.output<typeof trialSchema>;
export type Fingerprint = z.output<typeof fingerprintSchema>;

/** Where the card of a fusion config lies: `<id>.card.json` in its directory. */
export function cardPathOf(configFile: string, id: string): string {
  return path.join(path.dirname(configFile), `${id}${CARD_ENDING}`);
}

/** A card cannot be used: what is wrong, and what to do. */
export function cardRefused(file: string, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError(
    "calibration_invalid",
    `${file}: ${reason}. Run \`shoulders calibrate\` again, or delete this card to go without one.`,
    { cause },
  );
}

/** @throws ShouldersError `calibration_invalid`, naming the file, line and field. */
export function parseCard(text: string, file: string): Card {
  const json = parseJsonText(text);
  if (!json.ok)
    throw cardRefused(`${file}:${json.position.line}:${json.position.column}`, `not JSON: ${json.message}`);
  const version = z.looseObject({ version: z.unknown() }).safeParse(json.value).data?.version;
  if (typeof version === "number" && version !== CARD_VERSION)
    throw cardRefused(file, `a card of version ${version}; this program reads version ${CARD_VERSION}`);
  const checked = checkValue(cardSchema, json.value);
  if (checked.isValid) return checked.data;
  const [problem] = explainIssues(fieldsSchema, json.value, checked.issues);
  const { line, column } = json.positionOf(problem?.path ?? []);
  throw cardRefused(
    `${file}:${line}:${column}`,
    `${dottedPath(problem?.path ?? [])}: ${problem?.message ?? ""}`,
  );
}

/**
 * The card of a config; null: there is none.
 * @throws ShouldersError `calibration_invalid`
 */
export function loadCard(configFile: string, id: string): Card | null {
  const file = cardPathOf(configFile, id);
  let text: string;
  try {
    text = readTextFile(file, mostCardBytes);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return null;
    throw cardRefused(
      file,
      `cannot be read (${error instanceof Error ? error.message : String(error)})`,
      error,
    );
  }
  return parseCard(text, file);
}

/** The card as a file has it. */
export function cardText(card: Card): string {
  return `${JSON.stringify(z.encode(cardSchema, card), null, 2)}\n`;
}
