import { present, ShouldersError } from "../errors.js";
import { NonFiniteRowError, type RowOwner } from "../fusion/kernel/rows.js";
import type { FusedRow, Fusion, FusionKernel, LogitsRows } from "../fusion/types.js";
import { hasShift } from "../strategies/has-shift.js";
import { strategyOf, type StrategyConfig } from "../strategies/registry.js";
import type { StrategyRun } from "../strategies/strategy.js";
import type { ReadySequence } from "./decode.js";
import type { HeldRows } from "./held-rows.js";
import type { LoadedConfig, LoadedExpert, LoadedMember, ModelSlot } from "./loaded-models.js";
import type { GenerationRequest } from "../protocol/protocol.js";
import type { Sequence } from "./sequence.js";

/**
 * How a request's answer is weighed: its own strategy, or else its config's, with the bounds and the prior it asks for.
 *
 * @throws ShouldersError `invalid_request`
 */
export function startStrategy(
  request: GenerationRequest,
  { resolved, experts }: LoadedConfig,
): StrategyRun<LoadedExpert> {
  return startOf(request.strategy ?? resolved.config.strategy, request, { resolved, experts });
}

/** The same of a strategy that need not be the request's. */
export function startOf(
  settings: StrategyConfig,
  request: GenerationRequest,
  { resolved, experts }: Pick<LoadedConfig, "resolved" | "experts">,
): StrategyRun<LoadedExpert> {
  return strategyOf(settings).start(settings, {
    experts: experts.map((expert) => ({ ...expert, bounds: request.bounds?.[expert.id] ?? expert.bounds })),
    prior: request.prior,
    hasCard: resolved.card !== null,
    loss: isPlainDraw(request) ? request.loss : 0,
  });
}

/** Whether answers are drawn from the fused law itself, of which a bound on total variation speaks. */
function isPlainDraw({ sampling, logitBias, grammar }: GenerationRequest): boolean {
  const { temperature, topK, topP, minP, typicalP, repeatPenalty, presencePenalty, frequencyPenalty } =
    sampling;
  const isWhole = temperature === 1 && topK === 0 && topP === 1 && minP === 0 && typicalP === 1;
  const isUnpunished = repeatPenalty === 1 && presencePenalty === 0 && frequencyPenalty === 0;
  return isWhole && isUnpunished && logitBias.length === 0 && grammar === null;
}

/** One sequence's rows and what was made of them. */
export interface Fused {
  fusion: Fusion;
  rows: LogitsRows;
  /** The experts that ran; weights, targets and rows are in this order. */
  experts: readonly LoadedExpert[];
}

/**
 * Weighs and adds up the rows of one sequence. The fused row lives in the kernel: sample from it before the
 * next call.
 *
 * @param numTaken how many of its drafts have become tokens: the row is the one after them.
 * @throws ShouldersError `non_finite_logits`, naming model file and position.
 */
export function fuse(
  { sequence, rowsOf, numDrafts }: ReadySequence,
  numTaken: number,
  slots: readonly ModelSlot[],
  kernel: FusionKernel,
): Fused {
  const { config, run } = sequence;
  const experts = run.active;
  // Of padded vocabularies only the part that all models know.
  const rowFor = ({ model }: LoadedMember) =>
    sequence.cursor(model).held ??
    rowIn(slots[model], rowsOf.get(model)?.at(numTaken - numDrafts - 1), config);
  const { reference } = config;
  const { remote } = present(slots[config.base.model], "slot");
  const baseRow = rowsOf.get(config.base.model)?.at(numTaken - numDrafts - 1);
  const rows: LogitsRows = {
    base: rowFor(config.base),
    ...(remote !== null && { rest: remote.context.restOf(present(baseRow, "row")) }),
    reference: reference !== null && run.needsReference ? rowFor(reference) : null,
    experts: experts.map(rowFor),
  };
  try {
    return {
      fusion: run.fuse(kernel, rows, budgetsOf(sequence.run, sequence.request, sequence.fusionUsage.nats)),
      rows,
      experts,
    };
  } catch (error) {
    if (error instanceof NonFiniteRowError) throw named(error, sequence, slots);
    throw error;
  }
}

/** The same law before its plausible sets. The fused row is gone then. */
export function unrestricted({ fusion, rows }: Fused, sequence: Sequence, kernel: FusionKernel): FusedRow {
  return sequence.run.unrestricted(
    kernel,
    rows,
    budgetsOf(sequence.run, sequence.request, sequence.fusionUsage.nats),
    fusion,
  );
}

/** A row of the last decode, as far as all models of a config know its tokens. */
export function rowIn(
  slot: ModelSlot | undefined,
  row: number | undefined,
  { vocabularySize }: LoadedConfig,
): Float32Array {
  const { context } = present(slot, "slot");
  return context.logits(present(row, "row")).subarray(0, vocabularySize);
}

/**
 * The token that the experts' rows alone settle, whatever base and reference would say; null: they have a say.
 * Otherwise the experts' rows are kept for the step in which the others' come.
 */
export function settle(
  { sequence, rowsOf }: ReadySequence,
  slots: readonly ModelSlot[],
  { kernel, heldRows }: { kernel: FusionKernel; heldRows: readonly HeldRows[] },
): number | null {
  const { config, run, settling, sampler, scouts } = sequence;
  const rowFor = (model: number) => rowIn(slots[model], rowsOf.get(model)?.at(-1), config);
  const tokens = (settling ?? []).map((set, index) =>
    kernel.soleToken(rowFor(present(run.active[index], "expert").model), set),
  );
  const [token = null] = tokens;
  const room = sequence.maxTokens - sequence.numGenerated;
  const isSole = token !== null && tokens.every((other) => other === token);
  if (isSole && sampler.allows(token, room) && isHeard(sequence, rowFor)) return token;
  for (const cursor of scouts)
    cursor.hold(present(heldRows[cursor.model], "held rows").copy(rowFor(cursor.model)));
  return null;
}

/** Whether the experts take part in the mixture here, if the base has a share in it: not one that says what the reference does. */
function isHeard({ run, config }: Sequence, rowFor: (model: number) => Float32Array): boolean {
  const { reference } = config;
  if (run.baseShare === 0 || !run.needsReference || reference === null) return true;
  return run.active.every(({ model }) => hasShift(rowFor(model), rowFor(reference.model)));
}

/** The same error in the words of the config: whose model file it was. */
function named(
  { owner, fault }: NonFiniteRowError,
  { config, run, base }: Sequence,
  slots: readonly ModelSlot[],
): ShouldersError {
  const nameOf = (of: RowOwner) => {
    const member = typeof of === "string" ? config[of] : run.active[of.expert];
    const role = typeof of === "string" ? `the ${of}` : `expert "${member?.id ?? of.expert}"`;
    return `The row of ${role} (${slots[member?.model ?? -1]?.id ?? "unknown"})`;
  };
  const { message } = new NonFiniteRowError(owner, fault, nameOf);
  return new ShouldersError(
    "non_finite_logits",
    `${message} Config "${config.resolved.config.id}", position ${base.numDecoded}.`,
  );
}

/**
 * How far each expert that runs may move the base at this token, nats.
 *
 * @param nats that the answer has moved it so far.
 */
export function budgetsOf(
  run: StrategyRun<LoadedExpert>,
  request: GenerationRequest,
  nats: number,
): number[] {
  const { tokenNats, replyNats } = request.budget ?? { tokenNats: null, replyNats: null };
  const left = Math.max(0, (replyNats ?? Infinity) - nats);
  return run.active.map(({ budget }) => Math.min(budget, tokenNats ?? Infinity, left));
}
