import type { FusionConfig } from "./fusion-config.js";
import { invariant } from "../errors.js";
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
  /** Of an expert that is an adapter: the reference's. */
  source: ModelSource;
  /** The adapter that makes the reference this expert; null: it is a model of its own. */
  adapter: { file: string; scale: number } | null;
}

/** A member whose file is on this machine. */
export interface LocalMember extends Member {
  path: string;
  adapterPath: string | null;
}

/** The models of a config. */
export function membersOf(config: Pick<FusionConfig, "base" | "reference" | "experts">): Roles<Member> {
  const { base, reference, experts } = config;
  return {
    base: { role: "base", id: "base", source: base, adapter: null },
    reference: reference && { role: "reference", id: "reference", source: reference, adapter: null },
    experts: experts.map(({ id, model, adapter: file, scale = 1 }) => {
      const source = model ?? reference;
      invariant(source, `expert ${id} has a model, or a reference that it adapts`);
      return { role: "expert", id, source, adapter: file === undefined ? null : { file, scale } };
    }),
  };
}

/** All values: the base's, the reference's where there is one, and the experts'. */
export function inOrder<Value>({ base, reference, experts }: Roles<Value>): Value[] {
  return [base, ...(reference === null ? [] : [reference]), ...experts];
}

/** The model files of configs, each once. */
export function modelPaths(configs: readonly { members: Roles<{ path: string }> }[]): string[] {
  return [...new Set(configs.flatMap(({ members }) => inOrder(members).map(({ path }) => path)))];
}

/** All files of a config as it names them. */
export function filesOf(config: Parameters<typeof membersOf>[0]): string[] {
  const named = inOrder(membersOf(config)).flatMap(({ source, adapter }) => [
    source.model,
    adapter?.file ?? [],
  ]);
  return [...new Set(named.flat())];
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
 * @param find hears a file as it is named, and in which field of the config
 */
export async function locateMembers(
  config: Parameters<typeof membersOf>[0],
  find: (file: string, field: PropertyKey[]) => Promise<string>,
): Promise<Roles<LocalMember>> {
  const members = membersOf(config);
  const located = new Map<Member, LocalMember>();
  for (const member of inOrder(members)) {
    const { role, source, adapter } = member;
    const fieldOf = (name: string) =>
      role === "expert" ? ["experts", members.experts.indexOf(member), name] : [role];
    const path = await find(source.model, adapter === null ? fieldOf("model") : ["reference"]);
    const adapterPath = adapter && (await find(adapter.file, fieldOf("adapter")));
    located.set(member, { ...member, path, adapterPath });
  }
  return mapRoles(members, (member) => located.get(member) as LocalMember);
}
