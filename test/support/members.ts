import { type LocalMember, mapRoles, type Member, membersOf, type Roles } from "../../src/config/members.js";

/** The models of a config, with files that the caller names; where the config says, unless told otherwise. */
export function located(
  config: Parameters<typeof membersOf>[0],
  pathOf: (member: Member) => string = ({ source }) => source.model,
): Roles<LocalMember> {
  return mapRoles(membersOf(config), (member) => ({
    ...member,
    path: pathOf(member),
    adapterPath: member.adapter?.file ?? null,
  }));
}
