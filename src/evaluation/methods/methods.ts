import type { LoadedFusionConfig } from "../../config/load.js";
import type { Roles } from "../suite.js";
import { invalid } from "../tasks/read-rows.js";
import type { Task } from "../tasks/task.js";
import { aloneMethods } from "./alone.js";
import { ConfigMaker } from "./config-maker.js";
import { type Method, plan } from "./method.js";
import { severalExpertsMethods } from "./several.js";
import { exampleMethods, hardTunedMethods, mergedMethods, rightExpertMethods } from "./single.js";

export interface Derived {
  methods: Method[];
  configs: LoadedFusionConfig[];
}

/** Every method that the models of the roles make possible, and the fusion configs that they run on. */
export function deriveMethods(roles: Roles, tasks: readonly Task[]): Derived {
  const maker = new ConfigMaker(roles);
  const withReference = roles.reference !== null;
  const methods = [
    ...aloneMethods(roles, maker),
    ...(withReference ? rightExpertMethods(roles, maker) : []),
    ...(withReference ? hardTunedMethods(roles, maker) : []),
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
    planFor: () => plan(id, null),
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
