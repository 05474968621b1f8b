import type { FusionConfig } from "./fusion-config.js";
import type { ModelSource } from "./model-source.js";

/** Something of each model of a config, by the model's role. */
export interface Roles<Value> {
  base: Value;
  /** null where there are no experts. */
  reference: Value | null;
  /** In the order of the config's experts. */
  experts: readonly Value[];
}

/** A model of a config in its role. */
export interface Member {
  role: "base" | "reference" | "expert";
  /** `base`, `reference`, or the expert's id. */
  id: string;
  source: ModelSource;
}

/** A member whose file is on this machine. */
export interface LocalMember extends Member {
  path: string;
}

/** The models of a config. */
export function membersOf(config: Pick<FusionConfig, "base" | "reference" | "experts">): Roles<Member> {
  const { base, reference, experts } = config;
  return {
    base: { role: "base", id: "base", source: base },
    reference: reference && { role: "reference", id: "reference", source: reference },
    experts: experts.map(({ id, model }) => ({ role: "expert", id, source: model })),
  };
}

/** All values: the base's, the reference's where there is one, and the experts'. */
export function inOrder<Value>({ base, reference, experts }: Roles<Value>): Value[] {
  return [base, ...(reference === null ? [] : [reference]), ...experts];
}

/** Another value of each model. */
export function mapRoles<From, To>(roles: Roles<From>, to: (value: From) => To): Roles<To> {
  return {
    base: to(roles.base),
    reference: roles.reference === null ? null : to(roles.reference),
    experts: roles.experts.map(to),
  };
}

/**
 * The models of a config with their files, which are looked for one after the other: what one finds, the next knows.
 *
 * @param find also hears in which field of the config a source is named
 */
export async function locateMembers(
  config: Parameters<typeof membersOf>[0],
  find: (source: ModelSource, field: PropertyKey[]) => Promise<string>,
): Promise<Roles<LocalMember>> {
  const members = membersOf(config);
  const located = new Map<Member, LocalMember>();
  for (const member of inOrder(members)) {
    const field =
      member.role === "expert" ? ["experts", members.experts.indexOf(member), "model"] : [member.role];
    located.set(member, { ...member, path: await find(member.source, field) });
  }
  return mapRoles(members, (member) => located.get(member) as LocalMember);
}
