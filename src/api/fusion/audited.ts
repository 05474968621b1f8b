import { type DebateAudit, worstOutcome } from "../../config/debate-audit.js";
import type { DebateSettings } from "../../config/debate.js";
import type { ConfigDescription } from "../../protocol/protocol.js";
import type { Audited } from "../../wire/debate.js";
import { toRounded } from "../../wire/numbers.js";

const compared = ["turns", "seeds", "advocate", "orders", "arguments", "quotes"] as const;

/** What an audit says to a debate with these settings; null: there is none of the config as it is. */
export function auditedOf({ debateAudit }: ConfigDescription, settings: DebateSettings): Audited | null {
  if (debateAudit === null) return null;
  const { tasks, date } = debateAudit;
  return {
    outcome: worstOutcome(Object.values(tasks).map(({ outcome }) => outcome)),
    date,
    same_settings: isSame(debateAudit.settings, settings),
    tasks: Object.fromEntries(
      Object.entries(tasks).map(([name, { items, outcome, accuracy, ahead }]) => [
        name,
        {
          ...{ items, outcome, p: toRounded(ahead["judge"]?.p ?? 1) },
          accuracy: {
            judge: toRounded(accuracy.judge),
            one_side: toRounded(accuracy.oneSide),
            critique: toRounded(accuracy.critique),
            debate: toRounded(accuracy.debate),
            chance_quotes: accuracy.chanceQuotes === null ? null : toRounded(accuracy.chanceQuotes),
            critic: toRounded(accuracy.critic),
          },
        },
      ]),
    ),
  };
}

/** In all that decides who argues how and who judges; templates included. */
function isSame(one: DebateAudit["settings"], other: DebateSettings): boolean {
  return (
    compared.every((name) => one[name] === other[name]) &&
    one.panel.join() === other.panel.join() &&
    Object.entries(one.templates).every(([name, text]) => other.templates[name as "panel"] === text)
  );
}
