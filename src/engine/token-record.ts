import { objective } from "../fusion/objective.js";
import type { FusionKernel, LogitsRows, Single, TokenLogprob } from "../fusion/types.js";
import { keyed, toDivergence, toLogprob, toMs, toNats, toRounded, toTarget } from "../wire/numbers.js";
import type {
  CurveRecord,
  Decision,
  TokenCandidate,
  TokenRecord,
  TokenText,
  TopRecord,
  Vouch,
} from "../wire/token-record.js";
import type { Fused } from "./fuse.js";
import { TextCursor } from "./own/text-cursor.js";
import type { LoadedExpert } from "./loaded-models.js";
import type { TokenNames } from "./shared-ids.js";
import type { Sequence } from "./sequence.js";

/** How many tokens of each model a `full` trace keeps. */
const numTraced = 10;

/** Points of each curve of a `full` trace: a step of 0.05 between the paper's bounds. */
const numCurvePoints = 41;

/** A share that is worth telling of, where it was not read. */
const leastUnread = 1e-3;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A token that is no text, such as the end of an answer, has the name that the vocabulary gives it. */
function tokenText(token: number, names: TokenNames): TokenText {
  const bytes = names.bytes(token);
  return { id: token, text: bytes.length === 0 ? names.rawText(token) : decoder.decode(bytes) };
}

/** Its bytes too, where only with its neighbours it makes characters. */
function drawnToken(token: number, names: TokenNames): TokenRecord["token"] {
  const whole = tokenText(token, names);
  return whole.text.includes("\ufffd") ? { ...whole, bytes: [...names.bytes(token)] } : whole;
}

export function candidate({ token, logprob }: TokenLogprob, names: TokenNames): TokenCandidate {
  return { ...tokenText(token, names), logprob: toLogprob(logprob) };
}

export interface RecordParts {
  sequence: Sequence;
  token: number;
  logprob: number;
  fused: Fused;
  /** ln of the token's fused probability over the base's. */
  logRatio: number;
  best: BestTokens;
  decidedBy: Decision;
  /** ms; those of decodes by role. */
  timing: { decodeMs: Record<string, number>; fuseMs: number; sampleMs: number };
}

/** The most probable tokens of the base and of the fused row. */
interface BestTokens {
  base: TokenLogprob;
  fused: TokenLogprob;
}

/** What made the best of several plausible tokens the best. */
export function decisionOf({ fusion }: Fused, best: BestTokens): Decision {
  const { row, mixed, chosen } = fusion;
  if (best.base.token === best.fused.token) return "base";
  if (row.logits[best.base.token] === -Infinity) return "plausible_set";
  // Of a mixture, what the component that moved it most makes of the base's token.
  const mover = mixed.indexOf(chosen);
  const isLeftOut = mover >= 0 && row.componentLogprobs(best.base.token)[mover] === -Infinity;
  return isLeftOut ? "plausible_set" : "weight";
}

/**
 * The trace record of a token that has just been drawn; the kernel still holds its fused row, and no longer does
 * after a full trace.
 */
export function buildRecord(parts: RecordParts, kernel: FusionKernel): TokenRecord {
  const { sequence, fused, best } = parts;
  const { tokenNames: names } = sequence.config;
  const { fusion } = fused;
  const ids = fused.experts.map(({ id }) => id);
  const byId = <Value>(values: readonly Value[]) => keyed(ids, values);
  const record: TokenRecord = {
    position: sequence.base.tokens.length,
    token: drawnToken(parts.token, names),
    logprob: toLogprob(parts.logprob),
    nats: toNats(fusion.nats),
    log_ratio: toNats(parts.logRatio),
    decided_by: parts.decidedBy,
    weights: byId(fusion.weights.map(toRounded)),
    chosen: fusion.chosen === null ? null : (ids[fusion.chosen] ?? null),
    divergence: { ...toDivergence(fusion.divergence), targets: byId(fusion.targets.map(toTarget)) },
    objective: toRounded(fusion.objective),
    evaluations: fusion.evaluations,
    base_token: candidate(best.base, names),
    flipped: best.base.token !== best.fused.token,
    ran: Object.keys(parts.timing.decodeMs),
    vouch: vouchOf(parts.token, fused.rows, best.base.token),
  };
  const contest = contestOf(fusion.singles, best.fused.token);
  if (contest !== null) {
    const idOf = ({ expert }: Single) => (expert === null ? "base" : (ids[expert] ?? ""));
    const { by, against } = contest;
    record.contested = { by: idOf(by), token: candidate(by.best, names), against: idOf(against) };
  }
  const unread = Math.max(
    ...sequence.cursors.map((cursor) => (cursor instanceof TextCursor ? cursor.unread : 0)),
  );
  if (unread >= leastUnread) record.unread = toRounded(unread);
  const { shares } = sequence.run;
  if (shares) record.shares = mapValues(shares, toRounded);
  if (sequence.request.trace === "full") {
    record.timing = timingOf(parts.timing);
    const fusedTop = fusion.row.top(numTraced).map((entry) => candidate(entry, names));
    record.top = { ...topRecord(ids, fused, kernel, names), fused: fusedTop };
    record.curves = byId(fused.experts.map((expert, index) => curve(expert, index, parts, kernel)));
  }
  return record;
}

/** The record of a token that experts' rows alone settled: what would need the base's row is not known. */
export function certainRecord(sequence: Sequence, token: number, timing: RecordParts["timing"]): TokenRecord {
  const { shares, active } = sequence.run;
  return {
    position: sequence.base.tokens.length,
    token: drawnToken(token, sequence.config.tokenNames),
    logprob: 0,
    nats: null,
    log_ratio: null,
    decided_by: "certain",
    certain: true,
    weights: {},
    ...(shares && { shares: mapValues(shares, toRounded) }),
    chosen: active.length === 1 ? (active[0]?.id ?? null) : null,
    divergence: { forward: null, reverse: null, targets: {} },
    objective: null,
    evaluations: 0,
    base_token: null,
    flipped: null,
    ran: Object.keys(timing.decodeMs),
    vouch: "expert",
    ...(sequence.request.trace === "full" && { timing: timingOf(timing) }),
  };
}

/**
 * Whether the surest of several models, by share × probability of its best token, would have said another token than
 * all together; of equally sure ones the one that would. `against`: of the others the surest that says the fused token
 * by itself, or else the surest.
 */
export function contestOf(
  singles: readonly Single[],
  fusedToken: number,
): { by: Single; against: Single } | null {
  const sureness = ({ share, best }: Single) => Math.log(share) + best.logprob;
  const isFused = ({ best }: Single) => best.token === fusedToken;
  const [by, ...others] = singles.toSorted(
    (a, b) =>
      sureness(b) - sureness(a) || Number(isFused(a)) - Number(isFused(b)) || a.best.token - b.best.token,
  );
  const against = others.find(isFused) ?? others[0];
  return by === undefined || against === undefined || isFused(by) ? null : { by, against };
}

function vouchOf(token: number, { experts }: LogitsRows, baseToken: number): Vouch {
  const isByBase = token === baseToken;
  const isByExpert = experts.some((row) => isBest(row, token));
  return isByBase ? (isByExpert ? "both" : "base") : isByExpert ? "expert" : "nobody";
}

/** Whether no logit is above that of this token. */
function isBest(row: Float32Array, token: number): boolean {
  const own = row[token] ?? -Infinity;
  // Walking over the values themselves takes five times as long.
  for (let other = 0; other < row.length; other++) if ((row[other] ?? -Infinity) > own) return false;
  return true;
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
    alphas: alphas.map(toRounded),
    forward: points.map(({ forward }) => toRounded(forward)),
    reverse: points.map(({ reverse }) => toRounded(reverse)),
    objective: points.map((point) => toRounded(objective(point, targets))),
  };
}

const mapValues = (byId: Readonly<Record<string, number>>, map: (value: number) => number) =>
  Object.fromEntries(Object.entries(byId).map(([id, value]) => [id, map(value)]));

const timingOf = ({ decodeMs, fuseMs, sampleMs }: RecordParts["timing"]) => ({
  decode_ms: mapValues(decodeMs, toMs),
  fuse_ms: toMs(fuseMs),
  sample_ms: toMs(sampleMs),
});

/** The most probable tokens of every model that ran. */
function topRecord(
  ids: readonly string[],
  { rows }: Fused,
  kernel: FusionKernel,
  names: TokenNames,
): Omit<TopRecord, "fused"> {
  const top = (row: Float32Array | null) => {
    if (row === null) return [];
    kernel.load({ base: row, reference: null, experts: [] }, null);
    return kernel.top("base", numTraced).map((entry) => candidate(entry, names));
  };
  return {
    base: top(rows.base),
    reference: top(rows.reference),
    experts: keyed(ids, rows.experts.map(top)),
  };
}
