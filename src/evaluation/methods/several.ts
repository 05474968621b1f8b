import { takes, type StrategyConfig } from "../../strategies/registry.js";
import type { LoadedFusionConfig } from "../../config/load.js";
import type { PriorRequest } from "../../strategies/strategy.js";
import type { Roles } from "../suite.js";
import type { Task } from "../tasks/task.js";
import type { ConfigMaker } from "./config-maker.js";
import { type Method, type Plan, dynamic, noneOrJoint, plan, weighted } from "./method.js";

/** The methods of the base with all experts at once. */

/** The whole share to the right expert, and to the base where no expert is the right one. */
const onlyRight = ({ expert }: Task, known: readonly string[]): PriorRequest => ({
  shares: { [known.find((id) => id === expert) ?? "base"]: 1 },
  bias: {},
  isPinned: true,
});

const mixture: StrategyConfig = { type: "mixture", prior: "uniform", components: {}, floor: 0.01 };

function methodsOver(suffix: string, experts: Roles["experts"], maker: ConfigMaker): Method[] {
  const configId = maker.make(`all${suffix.replace("+", "-")}`, { experts });
  const known = experts.map(({ id }) => id);
  const share = Object.fromEntries(known.map((id) => [id, 1 / known.length]));
  const all = `base + all ${known.length} experts`;
  const rules = noneOrJoint.flatMap(({ suffix: set, words, plausibility }): Method[] => [
    {
      name: `uniform${set}${suffix}`,
      kind: "several",
      description: `${all}, each at weight 1/${known.length}${words}`,
      planFor: () => plan(configId, weighted(share, plausibility)),
    },
    {
      name: `paper-all${set}${suffix}`,
      kind: "several",
      description: `${all} by the paper's one-at-a-time rule (exact)${words}`,
      planFor: () => plan(configId, dynamic(plausibility)),
    },
  ]);
  return [
    ...rules,
    {
      name: `mixture${suffix}`,
      kind: "mixture",
      description: `${all} as a sequence mixture, equal shares at the start`,
      planFor: () => plan(configId, mixture),
    },
    {
      name: `mixture-right${suffix}`,
      kind: "mixture",
      description: `${all} as a sequence mixture, all shares pinned to the right expert`,
      planFor: (task) => plan(configId, mixture, onlyRight(task, known)),
    },
  ];
}

/** Every rule over the experts, and over them together with the bystanders, which fit no task. */
export function severalExpertsMethods({ experts, bystanders }: Roles, maker: ConfigMaker): Method[] {
  if (experts.length < 2) return [];
  return [
    ...methodsOver("", experts, maker),
    ...(bystanders.length === 0 ? [] : methodsOver("+bystanders", [...experts, ...bystanders], maker)),
  ];
}

/** A config with several experts as it is written, and with its shares pinned to the right expert. */
export function pinnedMethods(configs: readonly LoadedFusionConfig[]): Method[] {
  return configs.flatMap(({ config }): Method[] => {
    if (!takes(config.strategy, "shares")) return [];
    const known = config.experts.map(({ id }) => id);
    return [
      {
        name: `fusion:${config.id}:right`,
        kind: "configured",
        description: `fusion config ${config.id}, all shares pinned to the right expert`,
        planFor: (task): Plan => plan(config.id, null, onlyRight(task, known)),
      },
    ];
  });
}
