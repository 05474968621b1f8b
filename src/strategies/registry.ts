import { z } from "zod";
import type { Plausibility } from "../fusion/types.js";
import { base } from "./base.js";
import { dynamic } from "./dynamic.js";
import { mixture } from "./mixture.js";
import { fixed } from "./static.js";
import type { CalibratedExperts, Control, Strategy } from "./strategy.js";

/** Every strategy by the `type` that settings name it by: the only list of them. */
const modules = { base, static: fixed, dynamic, mixture };

export type StrategyType = keyof typeof modules;

type StrategySchema = (typeof modules)[StrategyType]["schema"];

/** Settings of any strategy, as a config or a request has them after parsing. */
export type StrategyConfig = z.output<StrategySchema>;

/** Does not compile where a module is not of the type it is listed under. */
const strategies: { [Type in StrategyType]: Strategy<Extract<StrategyConfig, { type: Type }>> } = modules;

const schemas = Object.values(modules).map(({ schema }) => schema);

export const strategySchema = z.discriminatedUnion("type", schemas as [StrategySchema, ...StrategySchema[]]);

/** The strategy that settings are of; its functions take those settings. */
export function strategyOf({ type }: StrategyConfig): Strategy<StrategyConfig> {
  return strategies[type];
}

/** Whether a request may change this about a strategy. */
export function takes(settings: StrategyConfig, control: Control): boolean {
  return strategyOf(settings).controls.includes(control);
}

/** The rule of arXiv 2406.15480, over all tokens. */
export const paperStrategy: StrategyConfig = dynamic.choice([], null);

/** Fixed weights by expert id; an expert left out has weight 0. */
export function fixedWeights(
  weights: Record<string, number>,
  plausibility: Plausibility | null,
): StrategyConfig {
  return { ...fixed.choice([], plausibility), weights };
}

/** What a config means that names no strategy: with experts what the card says, or the default component of each. */
export function defaultStrategy(experts: readonly { id: string }[]): StrategyConfig {
  return experts.length === 0 ? base.choice() : mixture.choice();
}

/** A strategy that a request may ask for instead of the config's. */
export interface StrategyChoice {
  label: string;
  words: string;
  settings: StrategyConfig;
  controls: readonly Control[];
  /** Ids of the experts whose weights are solved for: those that bounds mean something for. */
  solvedExperts: readonly string[];
}

/** What a person can choose for a config with these experts, its own plausible set kept. */
export function choicesFor(config: CalibratedExperts, plausibility: Plausibility | null): StrategyChoice[] {
  const { experts } = config;
  return Object.values(strategies)
    .map((strategy) => strategy as Strategy<StrategyConfig>)
    .filter(({ needsExperts }) => experts.length > 0 || !needsExperts)
    .map((strategy) => {
      const settings = strategy.choice(experts, plausibility);
      const solvedExperts = strategy.solvedExperts(settings, experts);
      return {
        label: strategy.label,
        words: strategy.words(settings, config),
        settings,
        controls: strategy.controls,
        solvedExperts,
      };
    });
}

export const strategyTypes = Object.keys(strategies) as StrategyType[];
