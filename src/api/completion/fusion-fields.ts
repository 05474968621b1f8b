import { z } from "zod";
import { mostJsonValues } from "../../config/json-size.js";
import { boundsSchema, mostNamed } from "../../strategies/fields.js";
import { recordOf } from "../../strategies/record-of.js";
import {
  fixedWeights,
  strategyOf,
  strategySchema,
  takes,
  type StrategyConfig,
} from "../../strategies/registry.js";
import type { ConfigDescription, GenerationRequest } from "../../protocol/protocol.js";
import { fieldError } from "../../errors.js";
import { traceLevels } from "../../wire/token-record.js";
import { tokenIds } from "../long-list.js";

/** The `fusion` object of a request. */

/** One token at least; how many there may be is the context's to say. */
export const givenTokens = tokenIds({ most: mostJsonValues });

const priorSchema = z.strictObject({
  shares: z
    .union([z.literal("uniform"), recordOf(z.string(), z.number().min(0).max(1), mostNamed)], {
      error: 'expected "uniform", or an object of expert ids and base with numbers from 0 to 1',
    })
    .nullish()
    .describe("Replaces the prior: by expert id and base, in proportion; what is left out has no share."),
  bias: recordOf(z.string(), z.number().min(-100).max(100), mostNamed)
    .nullish()
    .describe("Added to the logarithm of a share, by expert id and base, nats."),
  pinned: z.boolean().nullish().describe("The shares stay as they are during the answer."),
});

const nats = z.number().min(0).max(1_000_000).nullish();

const budgetSchema = z.strictObject({
  token_nats: nats.describe("Most at a token."),
  reply_nats: nats.describe("Most in the whole answer."),
});

export const fusionSchema = z
  .strictObject({
    strategy: strategySchema.nullish().describe("Replaces the config's strategy."),
    weights: recordOf(z.string(), z.number().min(-8).max(8), mostNamed)
      .nullish()
      .describe(
        "Fixed weights by expert id: short for a static strategy; the config's plausible set is kept.",
      ),
    bounds: z
      .union([boundsSchema, recordOf(z.string(), boundsSchema, mostNamed)], {
        error: "expected two numbers, or an object of expert ids with two numbers each",
      })
      .nullish()
      .describe(
        "Replaces the bounds of the weights that are solved for, in a mixture those of its components: all, or by expert id.",
      ),
    continue: z
      .union([z.string().min(1), givenTokens], { error: "expected text or token ids" })
      .nullish()
      .describe(
        "The beginning of the answer: each token is weighed and recorded as if it had been drawn; the rest is drawn. max_tokens counts the rest.",
      ),
    prior: priorSchema.nullish().describe("The shares that a mixture begins with."),
    budget: budgetSchema.nullish().describe("Bounds on how far the base is moved, in nats of KL(P̃‖P)."),
    speculation: z
      .enum(["on", "off"])
      .nullish()
      .describe(
        "on (default): a token that experts settle by themselves does not wait for the base; off: it does. The answer is the same.",
      ),
    audit: z
      .enum(["none", "rows"])
      .nullish()
      .describe("rows: the base is asked about every token all the same, so that every record is whole."),
    loss: z
      .number()
      .min(0)
      .max(0.5)
      .nullish()
      .describe(
        "How far a mixture's law of the whole answer may be off, as total variation, so that the base's component can be left out. At temperature 1, without truncation, penalties, biases and grammars; else nothing is spent. Default: 0.",
      ),
    policy: z
      .string()
      .max(64)
      .nullish()
      .describe("Of a model with policies: auto (default), or the id of one. A strategy takes no part."),
    pick: z
      .strictObject({
        of: z.int().min(1).max(20),
        by: z
          .enum(["predicted", "likelihood"])
          .default("predicted")
          .describe("predicted: the rating that it would probably get; likelihood: how probable it is."),
      })
      .nullish()
      .describe("Draws so many answers and gives the best; usage counts all. At temperature 0 there is one."),
    trace: z.enum(traceLevels).nullish().describe("What the answer reports of each token. Default: off."),
    keep_trace: z
      .enum(traceLevels)
      .nullish()
      .describe(
        "What is kept of each token under /v1/fusion/traces. Default: as trace, or the server's setting.",
      ),
    logprobs: z
      .enum(["fused", "processed", "unrestricted"])
      .nullish()
      .describe(
        "fused (default, but for an echo): before penalties, temperature and truncation; processed: after; " +
          "unrestricted (default for an echo): before the plausible sets too, so that every token has a probability.",
      ),
  })
  .refine((fusion) => fusion.strategy == null || fusion.weights == null, {
    path: ["weights"],
    error: "give either weights or a strategy",
  });

export type FusionFields = z.output<typeof fusionSchema>;

/** @throws ShouldersError for an unknown expert, or settings that could have no effect. */
export function fusionOf(
  fusion: FusionFields | null | undefined,
  config: ConfigDescription,
): Pick<GenerationRequest, "strategy" | "bounds" | "prior" | "budget" | "speculation" | "audit" | "loss"> {
  const strategy = askedStrategy(fusion, config);
  const inForce = strategy ?? config.strategy;
  const bounds = boundsOf(fusion?.bounds ?? null, inForce, config);
  const prior = priorOf(fusion?.prior, config);
  if (prior !== null && !takes(inForce, "shares"))
    throw fieldError("fusion.prior", "shares need a mixture strategy; leave it out");
  if ((fusion?.loss ?? 0) > 0 && !takes(inForce, "shares"))
    throw fieldError("fusion.loss", "only a mixture has a component of the base to leave out; leave it out");
  if (fusion?.budget != null && !takes(inForce, "budget"))
    throw fieldError("fusion.budget", "the base alone is never moved; leave it out");
  return {
    ...{ strategy, bounds, prior, budget: budgetOf(fusion?.budget) },
    ...{ speculation: fusion?.speculation ?? "on", audit: fusion?.audit ?? "none" },
    loss: fusion?.loss ?? 0,
  };
}

/** The strategy that the request asks for, checked against the config; null: it asks for none. */
function askedStrategy(
  fusion: FusionFields | null | undefined,
  config: ConfigDescription,
): StrategyConfig | null {
  const weights = fusion?.weights ?? null;
  const settings =
    weights === null
      ? (fusion?.strategy ?? null)
      : fixedWeights(weights, strategyOf(config.strategy).plausibilityOf(config.strategy));
  if (settings === null) return null;
  const paramOf = (path: readonly string[]) =>
    weights === null ? `fusion.strategy.${path.join(".")}` : `fusion.${path.join(".")}`;
  const strategy = strategyOf(settings);
  for (const { path, id } of strategy.namedExperts(settings)) checkExperts([id], config, paramOf(path));
  const problem = strategy.problem(settings);
  if (problem) throw fieldError(paramOf(problem.path), problem.reason);
  if (strategy.needsExperts && config.experts.length === 0)
    throw fieldError(
      weights === null ? "fusion.strategy" : "fusion.weights",
      "this model has no experts; leave it out",
    );
  return settings;
}

function priorOf(prior: FusionFields["prior"], config: ConfigDescription): GenerationRequest["prior"] {
  if (prior == null) return null;
  const shares = prior.shares ?? null;
  const bias = prior.bias ?? {};
  if (shares !== null && shares !== "uniform") checkShares(shares, config, "fusion.prior.shares");
  checkExperts(withoutBase(bias), config, "fusion.prior.bias");
  return { shares, bias, isPinned: prior.pinned ?? false };
}

function budgetOf(budget: FusionFields["budget"]): GenerationRequest["budget"] {
  if (budget == null) return null;
  return { tokenNats: budget.token_nats ?? null, replyNats: budget.reply_nats ?? null };
}

function checkShares(shares: Record<string, number>, config: ConfigDescription, param: string): void {
  checkExperts(withoutBase(shares), config, param);
  if (Object.values(shares).every((share) => share === 0))
    throw fieldError(param, "one share at least must be above 0");
}

const withoutBase = (byId: object): string[] => Object.keys(byId).filter((id) => id !== "base");

/** One pair is for every expert whose weight is solved. */
function boundsOf(
  bounds: FusionFields["bounds"],
  strategy: StrategyConfig,
  config: ConfigDescription,
): GenerationRequest["bounds"] {
  if (bounds == null) return null;
  const solved = strategyOf(strategy).solvedExperts(strategy, config.experts);
  if (solved.length === 0)
    throw fieldError(
      "fusion.bounds",
      'no weight is solved here; use a dynamic strategy, or a mixture whose components have weight "solved"',
    );
  if (Array.isArray(bounds)) return Object.fromEntries(solved.map((id) => [id, bounds]));
  checkExperts(Object.keys(bounds), config, "fusion.bounds");
  const fixed = Object.keys(bounds).find((id) => !solved.includes(id));
  if (fixed === undefined) return bounds;
  throw fieldError(
    `fusion.bounds.${fixed}`,
    "this expert's weight is not solved in the mixture; leave it out",
  );
}

function checkExperts(ids: readonly string[], config: ConfigDescription, param: string): void {
  const known = config.experts.map(({ id }) => id);
  const stranger = ids.find((id) => !known.includes(id));
  if (stranger === undefined) return;
  throw fieldError(param, `no expert "${stranger.slice(0, 64)}"; known: ${known.join(", ") || "none"}`);
}
