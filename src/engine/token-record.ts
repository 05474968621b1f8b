import { objective } from "../fusion/objective.js";
import type { Fusion, FusionKernel, TokenLogprob, WeightBounds } from "../fusion/types.js";
import type { Vocabulary } from "../llama/types.js";
import type { CurveRecord, TokenCandidate, TokenRecord, TokenText, TopRecord } from "../trace/record.js";
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
  return { ...tokenText(token, vocabulary), logprob };
}

export interface RecordParts {
  sequence: Sequence;
  token: number;
  logprob: number;
  fusion: Fusion;
  /** The most probable tokens of the base and of the fused row. */
  best: { base: TokenLogprob; fused: TokenLogprob };
  vocabulary: Vocabulary;
  timing: TokenRecord["timing"];
}

/** The trace record of a token that has just been drawn; the kernel still holds its rows. */
export function buildRecord(parts: RecordParts, kernel: FusionKernel): TokenRecord {
  const { sequence, fusion, vocabulary, best } = parts;
  // A strategy that leaves the experts out (the base alone) reports no weights.
  const ids = sequence.config.resolved.config.experts.map(({ id }) => id).slice(0, fusion.weights.length);
  const byId = <T>(values: readonly T[]) =>
    Object.fromEntries(ids.map((id, index) => [id, values[index] as T]));
  const record: TokenRecord = {
    position: sequence.base.tokens.length,
    token: drawnToken(parts.token, vocabulary),
    logprob: parts.logprob,
    weights: byId(fusion.weights),
    chosen: fusion.chosen === null ? null : (ids[fusion.chosen] ?? null),
    divergence: { ...fusion.divergence, targets: byId(fusion.targets) },
    objective: fusion.objective,
    evaluations: fusion.evaluations,
    baseToken: candidate(best.base, vocabulary),
    flipped: best.base.token !== best.fused.token,
    timing: parts.timing,
  };
  if (sequence.request.trace === "full") {
    record.top = topRecord(ids, kernel, vocabulary);
    record.curves = byId(ids.map((_, expert) => curve(expert, parts, kernel)));
  }
  return record;
}

/** J along the axis of an expert, between its bounds; further where a fixed weight lies outside them. */
function curve(expert: number, { sequence, fusion }: RecordParts, kernel: FusionKernel): CurveRecord {
  const [low, high] = boundsOf(sequence, expert);
  const weight = fusion.weights[expert] ?? 0;
  const [from, to] = [Math.min(low, weight), Math.max(high, weight)];
  const alphas = Array.from(
    { length: numCurvePoints },
    (_, point) => from + ((to - from) * point) / (numCurvePoints - 1),
  );
  const points = alphas.map((alpha) => kernel.evaluate(expert, alpha));
  return {
    alphas,
    forward: points.map(({ forward }) => forward),
    reverse: points.map(({ reverse }) => reverse),
    objective: points.map((point) => objective(point, fusion.targets)),
  };
}

function boundsOf({ strategy, config }: Sequence, expert: number): WeightBounds {
  const solved = strategy.type === "dynamic" ? strategy.bounds[expert] : null;
  return solved ?? config.resolved.config.experts[expert]?.bounds ?? [0, 2];
}

function topRecord(ids: readonly string[], kernel: FusionKernel, vocabulary: Vocabulary): TopRecord {
  const top = (of: Parameters<FusionKernel["top"]>[0]) =>
    kernel.top(of, numTraced).map((entry) => candidate(entry, vocabulary));
  return {
    base: top("base"),
    reference: ids.length > 0 ? top("reference") : [],
    experts: Object.fromEntries(ids.map((id, expert) => [id, top({ expert })])),
    fused: top("fused"),
  };
}
