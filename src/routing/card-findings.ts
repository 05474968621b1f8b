import type { DebateAudit } from "../config/debate-audit.js";
import { strategyOf, type StrategyConfig } from "../strategies/registry.js";
import type { Card } from "./card.js";

/** Below this a card is right about too few of its own examples to say whose a prompt is. */
const leastAccuracy = 0.5;

/** What somebody should know about a config and its calibration card: start, `check`, API and page say it. */
export function cardFindings({
  config: { id, strategy, experts },
  card,
}: {
  config: { id: string; strategy: StrategyConfig; experts: readonly { id: string }[] };
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
  if (experts.length < 2 || !type.readsCard(strategy)) return [];
  const command = `shoulders calibrate ${id} --examples ${experts.map((expert) => `${expert.id}=FILE`).join(" ")}`;
  if (card === null)
    return [
      {
        code: "no_card",
        message:
          "it has no calibration card: every expert begins each answer before one of them is chosen, which is slower, " +
          "and more often wrong",
        advice: `Give 4 to 64 example prompts of each expert: \`${command}\`.`,
      },
    ];
  if (card.figures.accuracy < leastAccuracy)
    return [
      {
        code: "card_tells_little",
        message:
          `its calibration card is right about ${(100 * card.figures.accuracy).toFixed(0)} % of its own example ` +
          "prompts, so experts answer prompts that are not for them",
        advice: `Calibrate with prompts that people ask of each expert: \`${command}\`.`,
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
