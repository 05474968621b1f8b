import { strategyOf, type StrategyConfig } from "../../strategies/registry.js";
import type { Roles } from "../suite.js";
import type { Task } from "../tasks/task.js";
import type { ConfigMaker } from "./config-maker.js";
import {
  type Method,
  type Plan,
  base,
  dynamic,
  noneOrJoint,
  plan,
  plausibleSets,
  weighted,
} from "./method.js";

/** The methods of the base with one expert. */

export function rightExpertMethods(roles: Roles, maker: ConfigMaker): Method[] {
  const idOf = new Map(
    roles.experts.map((expert) => [expert.id, maker.make(`right.${expert.id}`, { experts: [expert] })]),
  );
  const planWith = (task: Task, settingsFor: (expert: string) => StrategyConfig): Plan | null => {
    const configId = idOf.get(task.expert ?? "");
    return configId === undefined ? null : plan(configId, settingsFor(task.expert ?? ""));
  };
  return plausibleSets.flatMap(({ suffix, words, plausibility }): Method[] => [
    ...[0.5, 1, 1.5].map((weight): Method => ({
      name: `static-${weight}${suffix}`,
      kind: "static",
      description: `base + right expert at weight ${weight}${words}`,
      planFor: (task) => planWith(task, (expert) => weighted({ [expert]: weight }, plausibility)),
    })),
    ...(["grid", "exact"] as const).map((solver): Method => ({
      name: `dynamic-${solver}${suffix}`,
      kind: "dynamic",
      description: `base + right expert, weight solved at each token (${solver})${words}`,
      planFor: (task) => planWith(task, () => dynamic(plausibility, solver)),
    })),
  ]);
}

/** The bad case: an expert that was tuned so long that its shift is noise where it is not sure. */
export function hardTunedMethods({ hardTuned }: Roles, maker: ConfigMaker): Method[] {
  const taskToId = maker.makeEach("hard", hardTuned, (model) => ({ experts: [{ id: "hard", model }] }));
  if (taskToId.size === 0) return [];
  const method = (
    { name, kind, words }: Pick<Method, "name" | "kind"> & { words: string },
    strategy: StrategyConfig,
  ): Method => ({
    name,
    kind,
    description: `base + expert tuned hard, ${words}`,
    planFor: (task) => {
      const configId = taskToId.get(task.name);
      return configId === undefined ? null : plan(configId, strategy);
    },
  });
  return plausibleSets.flatMap(({ suffix, words, plausibility }) => [
    method(
      { name: `static-1-hard${suffix}`, kind: "static", words: `weight 1${words}` },
      weighted({ hard: 1 }, plausibility),
    ),
    method(
      { name: `dynamic-hard${suffix}`, kind: "dynamic", words: `weight solved at each token${words}` },
      dynamic(plausibility),
    ),
  ]);
}

export function mergedMethods({ merged }: Roles, maker: ConfigMaker): Method[] {
  const nameToId = maker.makeEach("merged", merged, (model) => ({ experts: [{ id: "merged", model }] }));
  return [...nameToId].flatMap(([name, configId]) =>
    noneOrJoint.map(({ suffix, words, plausibility }): Method => ({
      name: `dynamic-merged:${name}${suffix}`,
      kind: "merged",
      description: `base + merged expert ${name}, weight solved at each token (exact)${words}`,
      planFor: () => plan(configId, dynamic(plausibility)),
    })),
  );
}

/** The methods with the task's examples in the base's prompt only: the small models see the bare question. */
export function exampleMethods(roles: Roles, tasks: readonly Task[], maker: ConfigMaker): Method[] {
  const taskToId = new Map<string, string>();
  const shown = tasks.filter((task) => task.examples.length > 0);
  for (const task of shown) {
    const experts = roles.experts.filter(({ id }) => id === task.expert);
    taskToId.set(task.name, maker.make(`examples.${task.name}`, { experts, fewShot: task.examples }));
  }
  if (shown.length === 0) return [];
  const planWith = (task: Task, settingsFor: (expert: string) => StrategyConfig): Plan | null => {
    const configId = taskToId.get(task.name);
    const expert = roles.experts.find(({ id }) => id === task.expert)?.id ?? null;
    const strategy = settingsFor(expert ?? "");
    const isChat = task.items.every(({ prompt }) => prompt.type === "chat");
    const isPossible = isChat && (!strategyOf(strategy).needsExperts || expert !== null);
    return configId === undefined || !isPossible ? null : plan(configId, strategy);
  };
  return [
    {
      name: "giant-5-shot",
      kind: "examples",
      description: "the base alone with examples in its prompt",
      planFor: (task) => planWith(task, () => base),
    },
    ...plausibleSets.flatMap(({ suffix, words, plausibility }): Method[] => [
      {
        name: `static-1-5-shot${suffix}`,
        kind: "examples",
        description: `base with examples in its prompt + right expert at weight 1${words}`,
        planFor: (task) => planWith(task, (expert) => weighted({ [expert]: 1 }, plausibility)),
      },
      {
        name: `dynamic-5-shot${suffix}`,
        kind: "examples",
        description: `base with examples in its prompt + right expert, weight solved at each token${words}`,
        planFor: (task) => planWith(task, () => dynamic(plausibility)),
      },
    ]),
  ];
}
