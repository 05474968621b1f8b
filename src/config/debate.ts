import { z } from "zod";
import { fieldError } from "../errors.js";

/** What somebody may ask of a debate: the same in a request, on the command line and in a kept audit. */

/** By which law texts are judged: the fusion's, the base's alone, an expert's alone. */
export const lawSchema = z.union([
  z.enum(["fused", "base"]),
  z.templateLiteral(["expert:", z.string().min(1)]),
]);

export type Law = z.output<typeof lawSchema>;

/** Places of a template are names in braces. @param needed those without which it would say nothing */
const template = (needed: readonly string[]) =>
  z
    .string()
    .max(20_000)
    .refine((text) => needed.every((place) => text.includes(place)), {
      error: `expected a text with ${needed.join(" and ")} in it`,
    });

export const debateSchema = z.strictObject({
  turns: z.int().min(0).max(3).default(1).describe("How often each side speaks; 0: the panel judges alone."),
  seeds: z
    .int()
    .min(1)
    .max(8)
    .default(1)
    .describe("Transcripts to each order. The first has the most probable arguments, others are drawn."),
  advocate: z.enum(["base", "fused"]).default("base").describe("Who argues, on both sides."),
  panel: z
    .array(lawSchema)
    .min(1)
    .max(64)
    .optional()
    .describe("Who judges: expert:ID, base, fused. Default: every expert; the base where there is none."),
  orders: z
    .enum(["both", "given"])
    .default("both")
    .describe("both: each side begins once; given: the candidate that stands first begins."),
  arguments: z
    .enum(["quotes", "text"])
    .optional()
    .describe(
      "quotes: an argument is a sentence of the document, the one after which the advocate finds its side the likeliest; " +
        "text: it is written. Default: quotes where quotes are verified.",
    ),
  quotes: z
    .enum(["verified", "off"])
    .optional()
    .describe(
      "verified: what stands in quotation marks must be in the document, or it is struck. Default: verified with a document.",
    ),
  templates: z
    .strictObject({
      advocate: template(["{candidate}"])
        .optional()
        .describe(
          "What a writing advocate is asked: {question}, {document}, {candidate}, {other}, {transcript}.",
        ),
      argument: template(["{argument}"])
        .optional()
        .describe("How an argument stands in the transcript: {argument}, {candidate}."),
      panel: template(["{question}", "{transcript}"])
        .optional()
        .describe("What the panel reads instead of the question: {question}, {transcript}."),
    })
    .prefault({}),
  max_tokens: z.int().min(1).max(4096).default(128).describe("Longest argument that is written."),
  margin: z
    .number()
    .min(0)
    .max(1)
    .default(0.2)
    .describe("The verdict is settled where its best is so far above the next, in mean probability."),
  seed: z.int().min(0).max(0xffff_ffff).default(0).describe("What is drawn is drawn by it."),
});

export type GivenDebate = z.output<typeof debateSchema>;

/** A debate with every choice made. */
export interface DebateSettings extends Pick<
  GivenDebate,
  "turns" | "seeds" | "advocate" | "orders" | "max_tokens" | "margin" | "seed"
> {
  panel: Law[];
  arguments: "quotes" | "text";
  quotes: "verified" | "off";
  templates: { advocate: string; argument: string; panel: string };
}

const askForText = `{question}

{document}

{transcript}

Argue in at most three sentences that this answer is right: {candidate}
The other side says: {other}`;

const askForQuotes = `${askForText}
Quote the text above word for word, in quotation marks.`;

/** What is meant by what was given for a config with these experts. @throws ShouldersError that names the field */
export function settleDebate(
  given: GivenDebate,
  { experts, hasDocument, isChat }: { experts: readonly string[]; hasDocument: boolean; isChat: boolean },
): DebateSettings {
  const { advocate, argument, panel: forPanel } = given.templates;
  const quotes = given.quotes ?? (hasDocument ? "verified" : "off");
  if (quotes === "verified" && !hasDocument)
    throw fieldError("debate.quotes", "quotes are verified against a document: give document");
  const kind = given.arguments ?? (quotes === "verified" ? "quotes" : "text");
  if (kind === "quotes" && !hasDocument)
    throw fieldError("debate.arguments", "quotes are taken from a document: give document, or text");
  const everyone = experts.map((id): Law => `expert:${id}`);
  const panel = given.panel ?? (everyone.length > 0 ? everyone : ["base" as const]);
  checkPanel(panel, everyone);
  return {
    ...given,
    ...{ quotes, panel, arguments: kind },
    templates: {
      advocate: advocate ?? (quotes === "verified" ? askForQuotes : askForText),
      // Sentences of a document stand as in a shorter one.
      argument: argument ?? (kind === "quotes" ? "{argument} " : "Argument for {candidate}: {argument}\n"),
      // Behind a chat's question nothing has begun; a text ends where its answer begins.
      panel: forPanel ?? (isChat ? "{question}\n\n{transcript}" : "{transcript}\n\n{question}"),
    },
  };
}

function checkPanel(panel: readonly Law[], experts: readonly Law[]): void {
  panel.forEach((law, index) => {
    if (panel.indexOf(law) < index) throw fieldError(`debate.panel.${index}`, `"${law}" is there already`);
    if (law !== "fused" && law !== "base" && !experts.includes(law))
      throw fieldError(
        `debate.panel.${index}`,
        `no "${law.slice(0, 64)}"; known: fused, base${experts.map((expert) => `, ${expert}`).join("")}`,
      );
  });
}
