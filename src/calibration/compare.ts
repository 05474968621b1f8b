import { strategyOf, type StrategyConfig } from "../strategies/registry.js";
import type { Card } from "../routing/card.js";
import { priorOf } from "../routing/prior.js";
import type { AnswerScore } from "./ask.js";
import { type Figures, figuresOf } from "./choose-component.js";

/** How the given answers come out by the base alone, by their own experts alone, as the config is today, and by the card. */
export type Ways<Value> = Record<"base" | "expert" | "today" | "card", Value>;

export interface Comparison {
  numAnswers: number;
  figures: Ways<Figures>;
}

/** What a config does today: its strategy, and the card that lies beside it. */
export interface Today {
  strategy: StrategyConfig;
  card: Card | null;
  /** Where there is no card: the shares that a prompt was found to begin with. */
  shares?: Readonly<Record<string, number>> | null;
}

/** A strategy as it begins the answer to one prompt by a card, with what it takes from the card written into it. */
export function strategyFor(
  { strategy, card, shares: found = null }: Today,
  feature: Float64Array,
): StrategyConfig {
  if (card === null)
    return found === null
      ? strategy
      : strategyOf(strategy).withCard(strategy, { shares: { ...found }, components: {} });
  const shares = priorOf(card, feature);
  const ids = ["base", ...card.experts.map(({ id }) => id)];
  const known = card.experts.flatMap(({ id, component }) =>
    component === null ? [] : [[id, component] as const],
  );
  return strategyOf(strategy).withCard(strategy, {
    shares:
      card.experts.length > 1 ? Object.fromEntries(ids.map((id, index) => [id, shares[index] ?? 0])) : null,
    components: Object.fromEntries(known),
  });
}

/** @returns null where no answers were given. */
export function compared(scores: Ways<readonly AnswerScore[]>): Comparison | null {
  const numAnswers = scores.card.length;
  if (numAnswers === 0) return null;
  const { base, expert, today, card } = scores;
  return {
    numAnswers,
    figures: {
      base: figuresOf(base),
      expert: figuresOf(expert),
      today: figuresOf(today),
      card: figuresOf(card),
    },
  };
}
