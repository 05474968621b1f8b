import type { ComponentConfig } from "../../strategies/fields.js";
import { defaultFloor } from "../../strategies/mixture.js";
import { fixedWeights, type StrategyConfig } from "../../strategies/registry.js";
import { type Method, type Plausibility, plan } from "../methods/method.js";

/** As much of a config as an audit needs to know; the engine and a server describe it. */
export interface AuditedConfig {
  id: string;
  experts: readonly { id: string; component: ComponentConfig }[];
  strategy: StrategyConfig;
}

export interface AuditOptions {
  /** Id of the expert whose answers are looked at. */
  objective: string;
  /** Ids of the experts that are added to it, one at a time. */
  against: readonly string[];
  /** Weight at which they are added. */
  added: number;
  /** Id of a config, or a server's model, that knows what is to be known; null: the base's sure answers count. */
  ceiling: string | null;
}

/** How the objective's expert speaks in a config. */
export interface OwnSetting {
  weight: number;
  plausibility: Plausibility;
}

/**
 * At its own weight where that is fixed, else at 1; over the tokens that the config lets take part. A component's set
 * becomes one of base or expert, so that the base has a say on both sides, however sure an expert is.
 */
export function ownSetting({ strategy, experts }: AuditedConfig, objective: string): OwnSetting {
  if (strategy.type === "static")
    return { weight: strategy.weights[objective] ?? 1, plausibility: strategy.plausibility };
  if (strategy.type === "dynamic") return { weight: 1, plausibility: strategy.plausibility };
  const written = strategy.type === "mixture" ? strategy.components[objective] : undefined;
  const component = written ?? experts.find(({ id }) => id === objective)?.component;
  const weight = component?.weight ?? 1;
  const set = component?.plausibility ?? null;
  return { weight: weight === "solved" ? 1 : weight, plausibility: set && { ...set, of: "joint" } };
}

/** Names of the methods that every audit asks. */
export const auditNames = {
  alone: "alone",
  diluted: "diluted",
  expert: "expert",
  served: "served",
  ceiling: "ceiling",
} as const;

export const withName = (expert: string): string => `with ${expert}`;

/**
 * What an audit asks about each item: the base with the objective's expert; the same with each of the others added and
 * the first weight unchanged; the first weight lowered by as much, with nobody added; the expert by itself; the config
 * as it is served; and who knows what is to be known.
 */
export function auditMethods(
  config: AuditedConfig,
  { objective, against, added, ceiling }: AuditOptions,
): Method[] {
  const { weight, plausibility } = ownSetting(config, objective);
  const lowered = Math.max(0, weight - added);
  const method = (name: string, description: string, strategy: StrategyConfig | null): Method => ({
    name,
    kind: "static",
    description,
    planFor: () => plan(config.id, strategy),
  });
  const weighted = (weights: Record<string, number>) => fixedWeights(weights, plausibility);
  const alone: StrategyConfig = {
    type: "mixture",
    prior: { [objective]: 1 },
    components: { [objective]: { kind: "alone", weight: 1, plausibility: null } },
    floor: defaultFloor,
  };
  return [
    method(auditNames.alone, `base + ${objective} at weight ${weight}`, weighted({ [objective]: weight })),
    ...against.map((other) =>
      method(
        withName(other),
        `the same + ${other} at weight ${added}`,
        weighted({ [objective]: weight, [other]: added }),
      ),
    ),
    method(
      auditNames.diluted,
      `base + ${objective} at weight ${lowered}, nobody added`,
      weighted({ [objective]: lowered }),
    ),
    method(auditNames.expert, `${objective} by itself`, alone),
    method(auditNames.served, `the config as it is served, all its experts attached`, null),
    ...(ceiling === null
      ? []
      : [
          {
            name: auditNames.ceiling,
            kind: "tuned" as const,
            description: "the ceiling: what it gets right is what is to be known",
            planFor: () => plan(ceiling, null),
          },
        ]),
  ];
}
