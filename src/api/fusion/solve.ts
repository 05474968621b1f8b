import type { RequestHandler } from "express";
import { z } from "zod";
import { fieldError } from "../../errors.js";
import { makeKernelPool } from "../../fusion/kernel/pool.js";
import { NonFiniteRowError, type RowOwner } from "../../fusion/kernel/rows.js";
import type { Fusion, FusionKernel, LogitsRows } from "../../fusion/types.js";
import { boundsSchema, componentSchema, mostExperts } from "../../strategies/fields.js";
import { recordOf } from "../../strategies/record-of.js";
import { takes, paperStrategy, strategyOf, strategySchema } from "../../strategies/registry.js";
import type { Expert, StrategyRun } from "../../strategies/strategy.js";
import type { Solution } from "../../wire/fusion.js";
import { keyed, toDivergence, toLogprob, toNats, toRounded, toTarget } from "../../wire/numbers.js";
import { longList } from "../long-list.js";
import { parseRequest } from "../parse.js";

/** Most logits of all rows together: what is solved within some 20 ms, so that the event loop can do it. */
const mostLogits = 262_144;

/** JSON has no −Infinity: a token that takes no part is written so. */
const masked = "-Infinity";

/** Whether the kernel can keep a value: as a number of 32 bits. */
function isLogit(value: unknown): value is number | typeof masked {
  return typeof value === "number" ? Number.isFinite(Math.fround(value)) : value === masked;
}

const row = longList({
  least: 2,
  most: mostLogits,
  isElement: isLogit,
  expected: `a finite number (32 bits) or "${masked}"`,
  items: { anyOf: [{ type: "number" }, { const: masked }] },
  // Its elements are made numbers, as Number makes them, without a call for each.
}).transform((values) => new Float32Array(values as number[]));

export const solveSchema = z
  .strictObject({
    base: row.describe(`Logits of the base for one token; "${masked}" where a token takes no part.`),
    reference: row.describe("Logits of the reference for the same token."),
    experts: recordOf(z.string().min(1).max(64), row, mostExperts)
      .refine((experts) => Object.keys(experts).length >= 1, "expected at least one expert")
      .describe("Expert id to its logits."),
    strategy: strategySchema.nullish().describe("Default: dynamic, exact, over all tokens."),
    bounds: boundsSchema.nullish().describe("Of every weight that is solved for. Default: [0, 2]."),
    top: z
      .int()
      .min(0)
      .max(100)
      .nullish()
      .describe("How many tokens of the fused row to answer. Default: 10."),
  })
  .refine(
    ({ base, reference, experts }) =>
      [base, reference, ...Object.values(experts)].reduce((sum, { length }) => sum + length, 0) <= mostLogits,
    {
      path: ["base"],
      error: `all rows together may have at most ${mostLogits} logits; leave unlikely tokens out`,
    },
  );

type SolveBody = z.output<typeof solveSchema>;

/** `POST /v1/fusion/solve`: weights for rows of logits, without any model. */
export function solve(): RequestHandler<object, Solution> {
  const kernelFor = makeKernelPool("simd");
  return (request, response) => {
    const body = parseRequest(solveSchema, request.body);
    const ids = Object.keys(body.experts);
    const experts = Object.values(body.experts);
    const { base, reference } = body;
    const vocabularySize = Math.min(...[base, reference, ...experts].map(({ length }) => length));
    const kernel = kernelFor(vocabularySize, ids.length);
    const run = startStrategy(body, ids);
    const fusion = fuse(kernel, { base, reference, experts }, { run, ids });
    // The base alone asks no expert.
    const byId = <Value>(values: readonly Value[]) => keyed(ids.slice(0, values.length), values);
    response.json({
      object: "fusion.solution",
      weights: byId(fusion.weights.map(toRounded)),
      chosen: fusion.chosen === null ? null : (ids[fusion.chosen] ?? null),
      nats: toNats(fusion.nats),
      divergence: { ...toDivergence(fusion.divergence), targets: byId(fusion.targets.map(toTarget)) },
      objective: toRounded(fusion.objective),
      evaluations: fusion.evaluations,
      fused: fusion.row
        .top(body.top ?? 10)
        .map(({ token, logprob }) => ({ id: token, logprob: toLogprob(logprob) })),
    });
  };
}

/** What is wrong with rows is, here, wrong with the request. */
function fuse(
  kernel: FusionKernel,
  rows: LogitsRows,
  { run, ids }: { run: StrategyRun<Expert>; ids: readonly string[] },
): Fusion {
  try {
    const free = rows.experts.map(() => Infinity);
    return run.fuse(kernel, rows, free);
  } catch (thrown) {
    if (thrown instanceof NonFiniteRowError) throw fieldError(fieldOf(thrown.owner, ids), thrown.fault);
    throw thrown;
  }
}

function fieldOf(owner: RowOwner | null, ids: readonly string[]): string {
  if (owner === null) return "base";
  return typeof owner === "string" ? owner : `experts.${ids[owner.expert]}`;
}

function startStrategy(body: SolveBody, ids: readonly string[]): StrategyRun<Expert> {
  const settings = body.strategy ?? paperStrategy;
  const strategy = strategyOf(settings);
  if (takes(settings, "shares"))
    throw fieldError(
      "strategy.type",
      `the shares of a ${settings.type} follow an answer, and there is none here; use another`,
    );
  const stranger = strategy.namedExperts(settings).find(({ id }) => !ids.includes(id));
  if (stranger) {
    const known = ids.map((id) => JSON.stringify(id)).join(", ");
    throw fieldError(["strategy", ...stranger.path].join("."), `every id must be one of experts: ${known}`);
  }
  const bounds = body.bounds ?? ([0, 2] as const);
  const experts = ids.map((id) => ({ id, bounds, component: componentSchema.parse({}) }));
  return strategy.start(settings, { experts, prior: null, hasCard: false, loss: 0 });
}
