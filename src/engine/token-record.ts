import { objective } from "../fusion/objective.js";
import type { FusionKernel, TokenLogprob } from "../fusion/types.js";
import type { Vocabulary } from "../llama/types.js";
import type { CurveRecord, TokenCandidate, TokenRecord, TokenText, TopRecord } from "../trace/record.js";
import type { Fused } from "./fuse.js";
import type { LoadedExpert } from "./loaded-models.js";
import type { Sequence } from "./sequence.js";

/** How many tokens of each model a `full` trace keeps. */
const numTraced = 10;

/** Points of each curve of a `full` trace: a step of 0.05 between the paper's bounds. */
const numCurvePoints = 41;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export function tokenText(token: number, vocabulary: Vocabulary): TokenText {
  return { id: token, text: decoder.decode(vocabulary.bytes(token)) };
}

/** Its bytes too, where only with its neighbours it makes characters. */
function drawnToken(token: number, vocabulary: Vocabulary): TokenRecord["token"] {
  const whole = tokenText(token, vocabulary);
  return whole.text.includes("\ufffd") ? { ...whole, bytes: [...vocabulary.bytes(token)] } : whole;
}

export function candidate({ token, logprob }: TokenLogprob, vocabulary: Vocabulary): TokenCandidate {
  return { ...tokenText(token, vocabulary), logprob: finite(logprob) };
}

/** Log-probability of a token that cannot come: JSON has no infinities, and OpenAI writes this. */
const leastLogprob = -9999;

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : leastLogprob;
}

export interface RecordParts {
  sequence: Sequence;
  token: number;
  logprob: number;
  fused: Fused;
  /** The most probable tokens of the base and of the fused row. */
  best: { base: TokenLogprob; fused: TokenLogprob };
  vocabulary: Vocabulary;
  timing: TokenRecord["timing"];
}

/**
 * The trace record of a token that has just been drawn; the kernel still holds its fused row, and no longer does
 * after a full trace.
 */
export function buildRecord(parts: RecordParts, kernel: FusionKernel): TokenRecord {
  const { sequence, fused, vocabulary, best } = parts;
  const { fusion } = fused;
  const ids = fused.experts.map(({ id }) => id);
  const byId = <T>(values: readonly T[]) =>
    Object.fromEntries(ids.map((id, index) => [id, values[index] as T]));
  const record: TokenRecord = {
    position: sequence.base.tokens.length,
    token: drawnToken(parts.token, vocabulary),
    logprob: finite(parts.logprob),
    weights: byId(fusion.weights),
    chosen: fusion.chosen === null ? null : (ids[fusion.chosen] ?? null),
    divergence: { ...fusion.divergence, targets: byId(fusion.targets) },
    objective: fusion.objective,
    evaluations: fusion.evaluations,
    baseToken: candidate(best.base, vocabulary),
    flipped: best.base.token !== best.fused.token,
    timing: parts.timing,
  };
  const { shares } = sequence.run;
  if (shares) record.shares = { ...shares };
  if (sequence.request.trace === "full") {
    const fusedTop = fusion.row.top(numTraced).map((entry) => candidate(entry, vocabulary));
    record.top = { ...topRecord(ids, fused, kernel, vocabulary), fused: fusedTop };
    record.curves = byId(fused.experts.map((expert, index) => curve(expert, index, parts, kernel)));
  }
  return record;
}

/** J along the axis of an expert, between its bounds; further where a fixed weight lies outside them. */
function curve(
  expert: LoadedExpert,
  index: number,
  { sequence, fused }: RecordParts,
  kernel: FusionKernel,
): CurveRecord {
  const { fusion, rows } = fused;
  const { plausibility, bounds, isAlone, hasOwnTargets } = sequence.run.axisOf(expert);
  const reference = isAlone ? rows.base : rows.reference;
  kernel.load({ base: rows.base, reference, experts: rows.experts.slice(index, index + 1) }, plausibility);
  const targets = hasOwnTargets ? fusion.targets.slice(index, index + 1) : fusion.targets;
  const [low, high] = bounds;
  const weight = fusion.weights[index] ?? 0;
  const [from, to] = [Math.min(low, weight), Math.max(high, weight)];
  const alphas = Array.from(
    { length: numCurvePoints },
    (_, point) => from + ((to - from) * point) / (numCurvePoints - 1),
  );
  const points = alphas.map((alpha) => kernel.evaluate(0, alpha));
  return {
    alphas,
    forward: points.map(({ forward }) => forward),
    reverse: points.map(({ reverse }) => reverse),
    objective: points.map((point) => objective(point, targets)),
  };
}

/** The most probable tokens of every model that ran. */
function topRecord(
  ids: readonly string[],
  { rows }: Fused,
  kernel: FusionKernel,
  vocabulary: Vocabulary,
): Omit<TopRecord, "fused"> {
  const top = (row: Float32Array | null) => {
    if (row === null) return [];
    kernel.load({ base: row, reference: null, experts: [] }, null);
    return kernel.top("base", numTraced).map((entry) => candidate(entry, vocabulary));
  };
  return {
    base: top(rows.base),
    reference: top(rows.reference),
    experts: Object.fromEntries(ids.map((id, index) => [id, top(rows.experts[index] as Float32Array)])),
  };
}
