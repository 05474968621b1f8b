import type { RopeOverrides } from "../config/model-source.js";
import type { Roles } from "../config/members.js";
import { type ModelFacts, nameOf } from "../llama/model-facts.js";
import type { Finding, MeasuredFigures } from "../protocol/description.js";

/**
 * What is probably wrong with a config whose models load all the same, and what to do about it. Known from headers, and
 * from a few measurements where somebody has made them (`shoulders check` does).
 */

export interface Examined {
  config: {
    experts: readonly { id: string }[];
    context: { tokens: number; rope?: RopeOverrides | undefined };
    chatTemplate?: string | undefined;
  };
  /** Facts of each model. */
  facts: Roles<ModelFacts>;
  /** Why a file's own chat template does not work, by its path. */
  templateProblems?: ReadonlyMap<string, string>;
  /** Tells apart what is in two files; left out: by their paths. */
  contentOf?: (path: string) => string;
  measured: MeasuredFigures | null;
}

interface Named {
  role: string;
  facts: ModelFacts;
}

export function findingsOf(examined: Examined): Finding[] {
  const { config, facts } = examined;
  const base: Named = { role: "base", facts: facts.base };
  const reference: Named | null = facts.reference && { role: "reference", facts: facts.reference };
  const experts = facts.experts.map((of, index): Named => ({
    role: `expert "${config.experts[index]?.id ?? ""}"`,
    facts: of,
  }));
  const small = reference === null ? experts : [reference, ...experts];
  return [
    ...(reference === null ? [] : pairFindings(reference, experts, examined)),
    ...(reference === null ? [] : sizeFindings(base, reference, examined)),
    ...contextFindings(config.context, [base, ...small]),
    // Where the config has a template, no file's is asked for.
    ...(config.chatTemplate === undefined
      ? templateFindings(base, small, examined.templateProblems ?? new Map())
      : []),
    ...tokenFindings(base, small),
    ...(examined.measured === null ? [] : measuredFindings(examined.measured)),
  ];
}

function pairFindings(
  reference: Named,
  experts: readonly Named[],
  { contentOf = String }: Examined,
): Finding[] {
  return experts.flatMap((expert): Finding[] => {
    if (contentOf(expert.facts.path) === contentOf(reference.facts.path))
      return [
        {
          code: "expert_is_reference",
          message: `${expert.role} and the reference are the same model (${nameOf(expert.facts)}): it changes nothing`,
          advice: "Name the tuned file as the expert, and the file that it was tuned from as the reference.",
        },
      ];
    const difference = shapeDifference(reference.facts, expert.facts);
    if (difference !== null)
      return [
        {
          code: "expert_no_sibling",
          message: `${expert.role} was not tuned from the reference: ${difference}`,
          advice: "Take as the reference exactly the checkpoint that the expert was tuned from.",
        },
      ];
    if (expert.facts.quantization === reference.facts.quantization) return [];
    return [
      {
        code: "quantization_differs",
        message:
          `${expert.role} is ${expert.facts.quantization} and the reference ${reference.facts.quantization}: ` +
          "rounding counts as tuning",
        advice: "Convert both in the same way, best as F16 or Q8_0.",
      },
    ];
  });
}

/** The first thing in which two files are not of one family and size; null: nothing. */
function shapeDifference(reference: ModelFacts, expert: ModelFacts): string | null {
  if (reference.architecture !== expert.architecture)
    return `their architectures are ${expert.architecture} and ${reference.architecture}`;
  const keys = new Set([...Object.keys(reference.shape), ...Object.keys(expert.shape)]);
  const key = [...keys].find((name) => reference.shape[name] !== expert.shape[name]);
  if (key === undefined) return null;
  return `${key} is ${expert.shape[key] ?? "not given"} and ${reference.shape[key] ?? "not given"}`;
}

function sizeFindings(base: Named, reference: Named, { contentOf = String }: Examined): Finding[] {
  if (contentOf(base.facts.path) === contentOf(reference.facts.path))
    return [
      {
        code: "base_is_reference",
        message: `the base and the reference are the same model (${nameOf(base.facts)}): the expert alone says as much`,
        advice: "Name the large model as the base.",
      },
    ];
  if (base.facts.numParameters >= reference.facts.numParameters) return [];
  return [
    {
      code: "base_smaller",
      message: `the base (${nameOf(base.facts)}) is smaller than the reference (${nameOf(reference.facts)})`,
      advice: "Are they swapped? The base is the large model, the reference the small one.",
    },
  ];
}

function contextFindings(
  { tokens, rope }: Examined["config"]["context"],
  models: readonly Named[],
): Finding[] {
  // What stretches positions is asked for on purpose.
  const stretch = rope?.scale ?? (rope?.yarn !== undefined || rope?.freqBase !== undefined ? Infinity : 1);
  const beyond = models.filter(
    ({ facts: { contextTrain } }) => contextTrain !== null && tokens > contextTrain * stretch,
  );
  const [worst] = [...beyond].sort((a, b) => (a.facts.contextTrain ?? 0) - (b.facts.contextTrain ?? 0));
  if (worst === undefined) return [];
  const trained = worst.facts.contextTrain ?? 0;
  return [
    {
      code: "context_beyond_training",
      message: `context.tokens is ${tokens}, and the ${worst.role} was trained for ${trained}`,
      advice: `Set context.tokens to ${trained} or less, or stretch positions with context.rope.`,
    },
  ];
}

function templateFindings(
  base: Named,
  small: readonly Named[],
  problems: ReadonlyMap<string, string>,
): Finding[] {
  const models = [base, ...small];
  const findings: Finding[] = [];
  for (const { role, facts } of models) {
    const problem = problems.get(facts.path);
    if (problem === undefined) continue;
    findings.push({
      code: "template_broken",
      message: `the chat template of the ${role} (${nameOf(facts)}) is not used: ${problem}`,
      advice: "Convert the model again with a template that works, or send text prompts.",
    });
  }
  const without = models.filter(({ facts }) => facts.chatTemplate === null);
  if (without.length > 0)
    findings.push({
      code: "no_template",
      message: `no chat template in the file of: ${without.map(({ role }) => role).join(", ")}; a stand-in writes chats`,
      advice: "Convert the model with its tokenizer's chat template, or send text prompts.",
    });
  for (const { role, facts } of small) {
    const difference = textDifference(base.facts.chatTemplate, facts.chatTemplate);
    if (difference === null) continue;
    findings.push({
      code: "template_differs",
      message: `the chat templates of base and ${role} differ, first at ${difference}`,
      advice: "Each model is asked in its own form; that is right only if each was tuned with its own.",
    });
  }
  return findings;
}

/** Characters of a text that show where it differs. */
const shownCharacters = 30;

function textDifference(one: string | null, other: string | null): string | null {
  if (one === null || other === null || one === other) return null;
  let at = 0;
  while (one[at] === other[at]) at++;
  const line = one.slice(0, at).split("\n").length;
  const show = (text: string) => JSON.stringify(text.slice(at, at + shownCharacters));
  return `line ${line}: ${show(one)} and ${show(other)}`;
}

function tokenFindings(base: Named, small: readonly Named[]): Finding[] {
  const kinds = [
    ["first_token_differs", "firstToken", "begins a prompt with"],
    ["end_token_differs", "endToken", "ends a text with"],
  ] as const;
  return small.flatMap(({ role, facts }) =>
    kinds.flatMap(([code, key, verb]): Finding[] => {
      const [own, other] = [base.facts[key], facts[key]];
      if (own === null || other === null || own === other) return [];
      return [
        {
          code,
          message: `the base ${verb} ${own}, the ${role} with ${other}`,
          advice: "Right where each model was trained so; else set it in the file when you convert.",
        },
      ];
    }),
  );
}

/** Less than this, nats a token, is rounding. */
const noShift = 1e-6;
/** An expert this far from its reference was tuned until it forgot what it knew (docs/models.md). */
export const hardShift = 4;

/** Codes of what measurements show. */
export const measuredCodes: readonly string[] = ["expert_unmoved", "expert_tuned_hard", "base_no_better"];

/** How much worse the base must be on a single text to say so. */
const singleTextFactor = 1.25;

export function measuredFindings({ experts, text }: MeasuredFigures): Finding[] {
  const findings = Object.entries(experts).flatMap(([id, { klNats }]): Finding[] => {
    if (klNats < noShift)
      return [
        {
          code: "expert_unmoved",
          message: `expert "${id}" says what the reference says: KL(expert||reference) is ${klNats === 0 ? 0 : klNats.toExponential(1)} nats a token`,
          advice: "Look whether the tuned weights were merged and saved before the file was converted.",
        },
      ];
    if (klNats < hardShift) return [];
    return [
      {
        code: "expert_tuned_hard",
        message: `expert "${id}" is far from the reference: KL(expert||reference) is ${klNats.toFixed(1)} nats a token`,
        advice: "Tune with fewer steps or a lower rate; until then calibrate, or let it speak alone.",
      },
    ];
  });
  if (text !== null && text.baseNats >= text.referenceNats * (text.numTexts > 1 ? 1 : singleTextFactor))
    findings.push({
      code: "base_no_better",
      message:
        `the base predicts text no better than the reference: ${text.baseNats.toFixed(2)} and ` +
        `${text.referenceNats.toFixed(2)} nats a character`,
      advice: "Fusion adds to what the base knows: take a larger or better base, or the expert alone.",
    });
  return findings;
}
