import type { ModelSource } from "../../config/fusion-config.js";
import type { ExpertRole, Roles } from "../suite.js";
import type { ConfigMaker } from "./config-maker.js";
import { type Method, type MethodKind, type Plan, base, plan, weighted } from "./method.js";

/** A model by itself, or an adapter on the reference: from there, at weight 1 over all tokens, r + (e − r) = e. */
function expertAlone(expert: ExpertRole, roles: Roles, maker: ConfigMaker): Plan {
  const name = `expert.${expert.id}`;
  if (expert.model !== undefined) return plan(maker.make(name, { base: expert.model }), base);
  const parts = { base: roles.reference ?? roles.base, experts: [expert] };
  return plan(maker.make(name, parts), weighted({ [expert.id]: 1 }, null));
}

/** Each model by itself. */
export function aloneMethods(roles: Roles, maker: ConfigMaker): Method[] {
  const giant = maker.make("giant", {});
  const alone = (prefix: string, named: Record<string, ModelSource>): Map<string, string> =>
    maker.makeEach(prefix, named, (model) => ({ base: model }));
  const experts = new Map(roles.experts.map((expert) => [expert.id, expertAlone(expert, roles, maker)]));
  const tuned = alone("tuned", roles.tunedGiants);
  const hard = alone("hard-alone", roles.hardTuned);
  const asks = (configId: string | undefined): Plan | null =>
    configId === undefined ? null : plan(configId, base);
  const asksExpert = (id: string): Plan | null => experts.get(id) ?? null;
  const each = (prefix: string, kind: MethodKind, what: string, named: Map<string, string>): Method[] =>
    [...named].map(([name, configId]) => ({
      name: `${prefix}:${name}`,
      kind,
      description: `${what} ${name} alone`,
      planFor: () => asks(configId),
    }));
  return [
    { name: "giant", kind: "alone", description: "the untuned base alone", planFor: () => asks(giant) },
    ...roles.experts.map(({ id }): Method => ({
      name: `expert:${id}`,
      kind: "alone",
      description: `expert ${id} alone`,
      planFor: () => asksExpert(id),
    })),
    {
      name: "right-expert",
      kind: "alone",
      description: "the expert tuned for the task, alone",
      planFor: ({ expert }) => asksExpert(expert ?? ""),
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
