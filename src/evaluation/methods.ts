import type { ModelSource, StrategyConfig } from "../config/fusion-config.js";
import { type LoadedFusionConfig, parseFusionConfig } from "../config/load.js";
import type { Roles } from "./suite.js";
import { invalid } from "./tasks/read-rows.js";
import type { Task } from "./tasks/task.js";

/** Who answers an item, and how: a loaded config (or a model of a server), and a strategy in place of its own. */
export interface Plan {
  configId: string;
  strategy: StrategyConfig | null;
}

/** What a method is, for the colours of the charts. */
export type MethodKind =
  "alone" | "static" | "dynamic" | "several" | "merged" | "examples" | "tuned" | "configured";

export interface Method {
  name: string;
  kind: MethodKind;
  description: string;
  /** null: the method does not apply to the task (no expert was tuned for it, no examples, …). */
  planFor(task: Task): Plan | null;
}

export interface Derived {
  methods: Method[];
  configs: LoadedFusionConfig[];
}

type Plausibility = Extract<StrategyConfig, { type: "dynamic" }>["plausibility"];

/** Suffix of a method's name to the tokens that take part. */
const plausibleSets: { suffix: string; words: string; plausibility: Plausibility }[] = [
  { suffix: "", words: "", plausibility: null },
  {
    suffix: "+joint",
    words: ", tokens plausible to giant or expert",
    plausibility: { ratio: 0.1, of: "joint" },
  },
  {
    suffix: "+expert",
    words: ", tokens plausible to the expert",
    plausibility: { ratio: 0.1, of: "expert" },
  },
];
const noneOrJoint = plausibleSets.slice(0, 2);

const base: StrategyConfig = { type: "base" };
const dynamic = (solver: "exact" | "grid", plausibility: Plausibility): StrategyConfig => ({
  type: "dynamic",
  solver,
  plausibility,
});

/** Writes fusion configs over the models of the roles; each is made once, under an id that says what it is. */
class ConfigMaker {
  readonly configs = new Map<string, LoadedFusionConfig>();
  readonly #roles: Roles;

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  /** @returns the id of the config. */
  make(name: string, parts: { base?: ModelSource; experts?: object[]; fewShot?: object[] }): string {
    const id = `eval.${name}`;
    const { reference, context } = this.#roles;
    const { experts = [], fewShot = [] } = parts;
    const written = {
      id,
      base: parts.base ?? this.#roles.base,
      reference: experts.length > 0 ? reference : null,
      experts,
      fewShot,
      context,
    };
    this.configs.set(id, parseFusionConfig(JSON.stringify(written), id));
    return id;
  }
}

function aloneMethods(roles: Roles, maker: ConfigMaker): Method[] {
  const giant = maker.make("giant", {});
  const modelToId = (prefix: string, named: Record<string, ModelSource>) =>
    new Map(
      Object.entries(named).map(([name, model]) => [name, maker.make(`${prefix}.${name}`, { base: model })]),
    );
  const experts = modelToId("expert", Object.fromEntries(roles.experts.map(({ id, model }) => [id, model])));
  const tuned = modelToId("tuned", roles.tunedGiants);
  const asks = (configId: string | undefined): Plan | null =>
    configId === undefined ? null : { configId, strategy: base };
  const each = (prefix: string, kind: MethodKind, what: string, named: Map<string, string>): Method[] =>
    [...named].map(([name, configId]) => ({
      name: `${prefix}:${name}`,
      kind,
      description: `${what} ${name} alone`,
      planFor: () => asks(configId),
    }));
  return [
    { name: "giant", kind: "alone", description: "the untuned base alone", planFor: () => asks(giant) },
    ...each("expert", "alone", "expert", experts),
    {
      name: "right-expert",
      kind: "alone",
      description: "the expert tuned for the task, alone",
      planFor: ({ expert }) => asks(experts.get(expert ?? "")),
    },
    ...each("merged", "merged", "merged dwarf", modelToId("merged-alone", roles.merged)),
    ...each("model", "alone", "model", modelToId("model", roles.alone)),
    {
      name: "tuned-giant",
      kind: "tuned",
      description: "the base tuned for the task: the ceiling",
      planFor: ({ name }) => asks(tuned.get(name)),
    },
  ];
}

function rightExpertMethods(roles: Roles, maker: ConfigMaker): Method[] {
  const idOf = new Map(
    roles.experts.map((expert) => [expert.id, maker.make(`right.${expert.id}`, { experts: [expert] })]),
  );
  const plan = (task: Task, strategyOf: (expert: string) => StrategyConfig): Plan | null => {
    const configId = idOf.get(task.expert ?? "");
    return configId === undefined ? null : { configId, strategy: strategyOf(task.expert ?? "") };
  };
  return plausibleSets.flatMap(({ suffix, words, plausibility }): Method[] => [
    ...[0.5, 1, 1.5].map((weight): Method => ({
      name: `static-${weight}${suffix}`,
      kind: "static",
      description: `giant + right expert at weight ${weight}${words}`,
      planFor: (task) =>
        plan(task, (expert) => ({ type: "static", weights: { [expert]: weight }, plausibility })),
    })),
    ...(["grid", "exact"] as const).map((solver): Method => ({
      name: `dynamic-${solver}${suffix}`,
      kind: "dynamic",
      description: `giant + right expert, weight solved at each token (${solver})${words}`,
      planFor: (task) => plan(task, () => dynamic(solver, plausibility)),
    })),
  ]);
}

function severalExpertsMethods({ experts }: Roles, maker: ConfigMaker): Method[] {
  if (experts.length < 2) return [];
  const configId = maker.make("all", { experts });
  const share = Object.fromEntries(experts.map(({ id }) => [id, 1 / experts.length]));
  return noneOrJoint.flatMap(({ suffix, words, plausibility }): Method[] => [
    {
      name: `uniform${suffix}`,
      kind: "several",
      description: `giant + all ${experts.length} experts, each at weight 1/${experts.length}${words}`,
      planFor: () => ({ configId, strategy: { type: "static", weights: share, plausibility } }),
    },
    {
      name: `paper-all${suffix}`,
      kind: "several",
      description: `giant + all ${experts.length} experts by the paper's one-at-a-time rule (exact)${words}`,
      planFor: () => ({ configId, strategy: dynamic("exact", plausibility) }),
    },
  ]);
}

function mergedMethods({ merged }: Roles, maker: ConfigMaker): Method[] {
  return Object.entries(merged).flatMap(([name, model]) => {
    const configId = maker.make(`merged.${name}`, { experts: [{ id: "merged", model }] });
    return noneOrJoint.map(({ suffix, words, plausibility }): Method => ({
      name: `dynamic-merged:${name}${suffix}`,
      kind: "merged",
      description: `giant + merged dwarf ${name}, weight solved at each token (exact)${words}`,
      planFor: () => ({ configId, strategy: dynamic("exact", plausibility) }),
    }));
  });
}

/** With the task's examples in the prompt of the giant alone: the dwarfs see the bare question. */
function exampleMethods(roles: Roles, tasks: readonly Task[], maker: ConfigMaker): Method[] {
  const taskToId = new Map<string, string>();
  const shown = tasks.filter((task) => task.examples.length > 0);
  for (const task of shown) {
    const experts = roles.experts.filter(({ id }) => id === task.expert);
    taskToId.set(task.name, maker.make(`examples.${task.name}`, { experts, fewShot: task.examples }));
  }
  const plan = (task: Task, strategy: StrategyConfig): Plan | null => {
    const configId = taskToId.get(task.name);
    const isPossible = strategy.type === "base" || roles.experts.some(({ id }) => id === task.expert);
    const isChat = task.items.every(({ prompt }) => prompt.type === "chat");
    return configId === undefined || !isPossible || !isChat ? null : { configId, strategy };
  };
  if (shown.length === 0) return [];
  return [
    {
      name: "giant-5-shot",
      kind: "examples",
      description: "the giant alone with examples in its prompt",
      planFor: (task) => plan(task, base),
    },
    ...noneOrJoint.map(({ suffix, words, plausibility }): Method => ({
      name: `dynamic-5-shot${suffix}`,
      kind: "examples",
      description: `giant with examples in its prompt + right expert, weight solved at each token${words}`,
      planFor: (task) => plan(task, dynamic("exact", plausibility)),
    })),
  ];
}

/** Every method that the models of the roles make possible, and the fusion configs that they run on. */
export function deriveMethods(roles: Roles, tasks: readonly Task[]): Derived {
  const maker = new ConfigMaker(roles);
  const withReference = roles.reference !== null;
  const methods = [
    ...aloneMethods(roles, maker),
    ...(withReference ? rightExpertMethods(roles, maker) : []),
    ...(withReference ? severalExpertsMethods(roles, maker) : []),
    ...(withReference ? mergedMethods(roles, maker) : []),
    ...exampleMethods(roles, tasks, maker),
  ];
  return { methods, configs: [...maker.configs.values()] };
}

/** Fusion configs as they are written (or models of a server), each a method of its own. */
export function configuredMethods(ids: readonly string[]): Method[] {
  return ids.map((id) => ({
    name: `fusion:${id}`,
    kind: "configured",
    description: `fusion config ${id} as configured`,
    planFor: () => ({ configId: id, strategy: null }),
  }));
}

/**
 * The methods that the patterns name; `*` stands for any letters.
 * @throws ShouldersError `evaluation_invalid` for a pattern that names none.
 */
export function selectMethods(methods: readonly Method[], patterns: readonly string[]): Method[] {
  const matchers = patterns.map((pattern) => {
    const escaped = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
    const matcher = new RegExp(`^${escaped.join(".*")}$`);
    if (!methods.some(({ name }) => matcher.test(name)))
      throw invalid(
        `no method is called "${pattern}"; possible: ${methods.map(({ name }) => name).join(", ")}`,
      );
    return matcher;
  });
  return methods.filter(({ name }) => matchers.some((matcher) => matcher.test(name)));
}
