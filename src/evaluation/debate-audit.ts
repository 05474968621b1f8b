import type { AuditedDebateTask, DebateOutcomeName } from "../config/debate-audit.js";
import type { DebateSettings } from "../config/debate.js";
import { Debate, type Debating } from "../verdicts/debate/debate.js";
import { outcomeOf } from "../verdicts/debate/outcome.js";
import type { Argument } from "../verdicts/debate/transcript.js";
import { mcNemar } from "../verdicts/mcnemar.js";
import { bestOf } from "../verdicts/verdict.js";
import { createRandom, shuffled } from "./random.js";
import { bootstrapInterval } from "./statistics.js";

/** Whether debates of a config help its panel, on items whose right candidate is known. */

/** What stands beside the debate; null: it does not apply. */
export interface AuditedItem {
  /** Whether the panel alone is right. */
  judge: boolean;
  /** After one side argued, drawn by chance: consultancy. */
  oneSide: boolean;
  /** After one argument for what the critic holds to be right. */
  critique: boolean;
  debate: boolean;
  /** After as many sentences of the document, drawn by chance. */
  chanceQuotes: boolean | null;
  /** Whether the advocate's own verdict is right, with the document where there is one. */
  critic: boolean;
}

/**
 * Comes to a verdict in every way.
 * @param right index of the right candidate
 * @param seed of what chance draws
 * @throws ShouldersError of the engine, or the reason of the signal
 */
export async function auditItem(debating: Debating, right: number, seed: number): Promise<AuditedItem> {
  const { settings, document } = debating;
  const held = new Debate(debating);
  const random = createRandom(seed);
  const { best, without, pair } = await held.run();
  const after = async (said: readonly Pick<Argument, "candidate" | "heard">[]) =>
    isBest((await held.panel(held.text(said))).probabilities, settings, right);
  const drawn = random() < 0.5 ? 0 : 1;
  const critic = await held.advocate(document ?? "", pair);
  const side = bestOf(Object.values(critic.probabilities)[0] ?? []) === 1 ? 1 : 0;
  const chance = shuffled(held.sentences, random)
    .slice(0, 2 * settings.turns)
    .map((heard, index) => ({ heard, candidate: pair[index % 2 === 0 ? 0 : 1] }));
  return {
    judge: isBest(without, settings, right),
    oneSide: await after(await alone(held, orderOf(pair, drawn), settings.turns)),
    critique: await after(await alone(held, orderOf(pair, side), Math.min(1, settings.turns))),
    debate: best === right,
    chanceQuotes: settings.arguments === "quotes" ? await after(chance) : null,
    critic: pair[side] === right,
  };
}

const orderOf = ([one, other]: readonly [number, number], first: 0 | 1): readonly [number, number] =>
  first === 0 ? [one, other] : [other, one];

const isBest = (members: Record<string, number[]>, settings: DebateSettings, right: number): boolean =>
  outcomeOf(members, [], settings).best === right;

/** The first side's arguments, with nobody against it. */
async function alone(held: Debate, order: readonly [number, number], turns: number): Promise<Argument[]> {
  const said: Argument[] = [];
  for (let turn = 1; turn <= turns; turn++)
    said.push(await held.argue(order, { transcript: 0, seed: 0, turn, position: 0, said }));
  return said;
}

/** How much better the critic has to be than the judge, share of right verdicts. */
const leastLead = 0.05;
/** p below which a difference is no chance. */
const mostChance = 0.05;

const shareOf = (items: readonly AuditedItem[], way: keyof AuditedItem): number =>
  items.filter((item) => item[way] === true).length / items.length;

/** By how many items the debate is right where another way is not, and the other way about. */
function comparedWith(items: readonly AuditedItem[], way: keyof AuditedItem) {
  const better = items.filter((item) => item.debate && item[way] !== true).length;
  const worse = items.filter((item) => !item.debate && item[way] === true).length;
  return { difference: (better - worse) / items.length, better, worse, p: mcNemar(better, worse) };
}

/**
 * use: the debate beats the panel alone by McNemar's test, and the critic is more than 0.05 better than it; harms: the
 * debate is worse by that test.
 */
export function auditOutcome(items: readonly AuditedItem[]): DebateOutcomeName {
  const { difference, p } = comparedWith(items, "judge");
  if (p >= mostChance) return "no gain";
  if (difference < 0) return "harms";
  return shareOf(items, "critic") - shareOf(items, "judge") > leastLead ? "use" : "no gain";
}

/** @param seed of the resamples of intervals */
export function auditedTask(items: readonly AuditedItem[], seed: number): AuditedDebateTask {
  const share = (way: keyof AuditedItem) => shareOf(items, way);
  const hasChance = items.some(({ chanceQuotes }) => chanceQuotes !== null);
  const others = ["judge", "oneSide", "critique", ...(hasChance ? (["chanceQuotes"] as const) : [])] as const;
  return {
    items: items.length,
    outcome: auditOutcome(items),
    accuracy: {
      judge: share("judge"),
      oneSide: share("oneSide"),
      critique: share("critique"),
      debate: share("debate"),
      chanceQuotes: hasChance ? share("chanceQuotes") : null,
      critic: share("critic"),
    },
    ahead: Object.fromEntries(
      others.map((way) => {
        const differences = items.map((item) => Number(item.debate) - Number(item[way]));
        return [way, { ...comparedWith(items, way), ...bootstrapInterval(differences, seed) }];
      }),
    ),
  };
}
