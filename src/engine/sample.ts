import { present } from "../errors.js";
import { inOrder } from "../config/members.js";
import type { FusionKernel } from "../fusion/types.js";
import { unrestricted, type Fused } from "./fuse.js";
import type { LoadedMember } from "./loaded-models.js";
import { toLogprob } from "../wire/numbers.js";
import type { GeneratedToken } from "../protocol/protocol.js";
import type { Sequence } from "./sequence.js";
import { buildRecord, candidate, certainRecord, decisionOf } from "./token-record.js";

export interface SampleParts {
  sequence: Sequence;
  fused: Fused;
  /** Still holds the fused row. */
  kernel: FusionKernel;
  /** Model index to ms of its decode in this step. */
  msOf: ReadonlyMap<number, number>;
  fuseMs: number;
}

export interface Sampled {
  generated: GeneratedToken;
  /** Log-probability of the token under each model that the fusion mixed. */
  componentLogprobs: number[];
  /** The grammar did not allow the row's best token. */
  isByGrammar: boolean;
  /** It allowed none of the tokens that the fusion left, so the base's row decided. */
  isOfBase: boolean;
  /** How long it took to draw it. */
  sampleMs: number;
}

/**
 * Draws the sequence's next token from its fused row and writes down how it came about. The kernel may no longer hold
 * the row then.
 */
export function sample(parts: SampleParts): Sampled {
  const { sequence, fused, kernel, msOf, fuseMs } = parts;
  const { fusion } = fused;
  const { request, config } = sequence;
  const { tokenNames: names } = config;
  const numTop = request.topLogprobs ?? 0;
  const isProcessed = request.logprobs === "processed";
  const startMs = performance.now();
  const fusedTop = fusion.row.top(Math.max(2, numTop));
  const [first, second] = fusedTop;
  const best = present(first, "fused token");
  const forced = sequence.forced[sequence.numGenerated];
  const drawn =
    forced === undefined
      ? sequence.sampler.sample(fusion.row, {
          argmax: best.token,
          baseRow: fused.rows.base,
          numCandidates: isProcessed ? request.topLogprobs : null,
          room: sequence.maxTokens - sequence.numGenerated,
        })
      : { token: forced, processed: null, isByGrammar: false };
  const sampleMs = performance.now() - startMs;
  const base = present(kernel.top("base", 1)[0], "token of the base");
  const fusedLogprob = fusion.row.logprob(drawn.token);
  const componentLogprobs = fusion.row.componentLogprobs(drawn.token);
  const baseLogit = (token: number) => fused.rows.base[token] ?? -Infinity;
  const baseLogprob = baseLogit(drawn.token) - baseLogit(base.token) + base.logprob;
  const record = buildRecord(
    {
      sequence,
      token: drawn.token,
      logprob: drawn.processed?.logprob ?? fusedLogprob,
      fused,
      logRatio: fusedLogprob - baseLogprob,
      best: { base, fused: best },
      decidedBy: drawn.isByGrammar
        ? "grammar"
        : second === undefined
          ? "certain"
          : decisionOf(fused, { base, fused: best }),
      timing: { decodeMs: timesOf(runningMembers(sequence), msOf), fuseMs, sampleMs },
    },
    kernel,
  );
  let alternatives = isProcessed ? (drawn.processed?.candidates ?? []) : fusedTop.slice(0, numTop);
  if (request.logprobs === "unrestricted") {
    const row = unrestricted(fused, sequence, kernel);
    record.logprob = toLogprob(row.logprob(drawn.token));
    alternatives = row.top(numTop);
  }
  const topLogprobs = alternatives.map((entry) => ({
    ...candidate(entry, names),
    bytes: names.bytes(entry.token),
  }));
  const generated: GeneratedToken = { record, bytes: names.bytes(drawn.token), topLogprobs };
  if (request.wantsMembers) generated.members = membersOf(fused, drawn.token, kernel);
  const { isByGrammar } = drawn;
  const isOfBase = isByGrammar && fusedLogprob === -Infinity;
  return { generated, componentLogprobs, isByGrammar, isOfBase, sampleMs };
}

/** What base and experts, each alone, give a token. The fused row is gone then. */
function membersOf({ rows, experts }: Fused, token: number, kernel: FusionKernel): Record<string, number> {
  const logprobIn = (row: Float32Array) => {
    kernel.load({ base: row, reference: null, experts: [] }, null);
    const best = present(kernel.top("base", 1)[0], "best token");
    return toLogprob((row[token] ?? -Infinity) - (row[best.token] ?? 0) + best.logprob);
  };
  const ofExperts = experts.map(({ id }, index) => [id, logprobIn(present(rows.experts[index], "row"))]);
  return { base: logprobIn(rows.base), ...(Object.fromEntries(ofExperts) as Record<string, number>) };
}

/** A token that experts' rows alone settled, as if it had been drawn: no other could have been. */
export function certain(
  sequence: Sequence,
  token: number,
  { msOf, fuseMs }: Pick<SampleParts, "msOf" | "fuseMs">,
): GeneratedToken {
  const { tokenNames: names } = sequence.config;
  const { topLogprobs } = sequence.request;
  const timing = { decodeMs: timesOf(sequence.run.active, msOf), fuseMs, sampleMs: 0 };
  const record = certainRecord(sequence, token, timing);
  const bytes = names.bytes(token);
  const alternative = { ...candidate({ token, logprob: 0 }, names), bytes };
  return { record, bytes, topLogprobs: (topLogprobs ?? 0) > 0 ? [alternative] : [] };
}

function runningMembers({ config, cursors }: Sequence): LoadedMember[] {
  const running = new Set(cursors.map((cursor) => cursor.model));
  return inOrder(config).filter(({ model }) => running.has(model));
}

/** Milliseconds of each member's decode in this step, by its id. */
function timesOf(
  members: readonly LoadedMember[],
  msOf: ReadonlyMap<number, number>,
): Record<string, number> {
  return Object.fromEntries(members.map(({ id, model }) => [id, msOf.get(model) ?? 0]));
}
