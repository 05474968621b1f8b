import type { DebateAudit } from "../config/debate-audit.js";
import type { FusionConfig } from "../config/fusion-config.js";
import { strategyOf, type StrategyConfig } from "../strategies/registry.js";
import type { Card } from "./card.js";

/** What somebody should know about a config and its calibration card: start, `check`, API and page say it. */
export function cardFindings({
  config: { strategy, experts },
  card,
}: {
  config: Pick<FusionConfig, "experts"> & { strategy: StrategyConfig };
  card: Card | null;
}): { code: string; message: string; advice: string }[] {
  const type = strategyOf(strategy);
  if (card !== null && !type.usesCard(strategy, experts))
    return [
      {
        code: "card_unused",
        message: `its calibration card is not used, for the strategy "${strategy.type}" takes nothing from it`,
        advice: 'Remove "strategy" from the config to use the card.',
      },
    ];
  if (card === null && experts.length > 1 && type.readsCard(strategy))
    return [
      {
        code: "no_card",
        message:
          "it has no calibration card: nobody knows which expert a prompt is for, and all have equal shares",
        advice: "Run `shoulders calibrate` with example prompts of each expert.",
      },
    ];
  return [];
}

/** The same of the audit of a config's debates. @param digest of the config as it is */
export function auditFindings(
  audit: DebateAudit | null,
  digest: string,
): { code: string; message: string; advice: string }[] {
  if (audit === null || audit.digest === digest) return [];
  return [
    {
      code: "debate_audit_stale",
      message: "the audit of its debates was of other models or settings, and says nothing of these",
      advice: "Run `shoulders debate audit` again.",
    },
  ];
}
