import type { ModelSource } from "../../config/fusion-config.js";
import type { Roles } from "../suite.js";
import type { ConfigMaker } from "./config-maker.js";
import { type Method, type MethodKind, type Plan, base, plan } from "./method.js";

/** Each model by itself. */
export function aloneMethods(roles: Roles, maker: ConfigMaker): Method[] {
  const giant = maker.make("giant", {});
  const alone = (prefix: string, named: Record<string, ModelSource>): Map<string, string> =>
    maker.makeEach(prefix, named, (model) => ({ base: model }));
  // An adapter is no model that answers by itself.
  const whole = roles.experts.flatMap(({ id, model }) => (model === undefined ? [] : [[id, model] as const]));
  const experts = alone("expert", Object.fromEntries(whole));
  const tuned = alone("tuned", roles.tunedGiants);
  const hard = alone("hard-alone", roles.hardTuned);
  const asks = (configId: string | undefined): Plan | null =>
    configId === undefined ? null : plan(configId, base);
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
    ...(hard.size === 0
      ? []
      : [
          {
            name: "hard-expert",
            kind: "alone" as const,
            description: "an expert tuned hard on the task, alone",
            planFor: ({ name }: { name: string }) => asks(hard.get(name)),
          },
        ]),
    ...each("merged", "merged", "merged expert", alone("merged-alone", roles.merged)),
    ...each("model", "alone", "model", alone("model", roles.alone)),
    {
      name: "tuned-giant",
      kind: "tuned",
      description: "the base tuned for the task: the ceiling",
      planFor: ({ name }) => asks(tuned.get(name)),
    },
  ];
}
