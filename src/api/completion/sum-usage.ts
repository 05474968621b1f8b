import { noUsage } from "../../protocol/protocol.js";
import type { FusionUsage, Usage } from "../../protocol/protocol.js";

/** @param usages by index of the answer; a prompt counts once, for all of its `numAnswers`. */
export function sumUsage(usages: readonly Usage[], numAnswers: number): Usage {
  const total: Usage = { ...noUsage };
  usages.forEach((usage, index) => {
    total.completionTokens += usage.completionTokens;
    total.reasoningTokens += usage.reasoningTokens;
    total.fusion = addFusion(total.fusion, usage.fusion);
    if (index % numAnswers > 0) return;
    total.promptTokens += usage.promptTokens;
    total.cachedTokens += usage.cachedTokens;
  });
  return total;
}

function addFusion(a: FusionUsage, b: FusionUsage): FusionUsage {
  const tokens = a.tokens + b.tokens;
  const all = (usage: FusionUsage) => usage.tokens + usage.certain;
  const skipped = a.skippedShare * all(a) + b.skippedShare * all(b);
  return {
    nats: a.nats + b.nats,
    flipped: a.flipped + b.flipped,
    tokens,
    certain: a.certain + b.certain,
    contested: a.contested + b.contested,
    unvouched: a.unvouched + b.unvouched,
    basePasses: a.basePasses + b.basePasses,
    drafts: a.drafts + b.drafts,
    drafted: a.drafted + b.drafted,
    accepted: a.accepted + b.accepted,
    acceptedAt: Array.from(
      { length: Math.max(a.acceptedAt.length, b.acceptedAt.length) },
      (_, index) => (a.acceptedAt[index] ?? 0) + (b.acceptedAt[index] ?? 0),
    ),
    lost: Math.max(a.lost, b.lost),
    uncertified: a.uncertified + b.uncertified,
    unknown: Math.max(a.unknown, b.unknown),
    skippedShare: skipped / Math.max(1, all(a) + all(b)),
  };
}
