import { basename } from "node:path";
import type { LocalMember } from "../config/members.js";
import type { ContextOptions, LoadedModel } from "../llama/types.js";
import { connectBase } from "../rows/connect.js";
import { adapterOf, remoteKey, type RemoteNeed } from "./model-needs.js";
import type { ModelSlot } from "./model-slot.js";

/** Contexts of loaded models, here or on other servers. */

/** A model, and the context that it is to have, here or on another server. */
export type ModelUse = { model: LoadedModel } & (
  { options: ContextOptions; remote: null } | { options: null; remote: RemoteNeed }
);

/** The context of a model; whether its end can be taken back is found out later. */
export async function openSlot(
  { model, options, remote }: ModelUse,
  slots: readonly ModelSlot[],
): Promise<ModelSlot> {
  const untried = { model, hasWindow: options?.windowCells ?? false, canTakeBack: false };
  if (remote !== null) {
    const context = await connectBase(remote.remote, model, remote.room);
    const id = uniqueId(remote.remote.model ?? model.path, slots);
    return { ...untried, id, adapter: null, context, remote: { context, settings: remote.remote } };
  }
  const { adapter } = options;
  return {
    ...untried,
    id: uniqueId(adapter?.path ?? model.path, slots),
    adapter: adapter ?? null,
    context: model.createContext(options),
    remote: null,
  };
}

/** Index of what a member is made of. */
export function indexOf(uses: readonly ModelUse[], member: LocalMember): number {
  const wanted = adapterOf(member);
  return uses.findIndex(({ model, options, remote }) => {
    const wantedRemote = member.source.remote;
    if (model.path !== member.path || (remote === null) !== (wantedRemote === undefined)) return false;
    if (remote !== null && wantedRemote !== undefined)
      return remoteKey(remote.path, remote.remote) === remoteKey(member.path, wantedRemote);
    return options?.adapter?.path === wanted?.path && options?.adapter?.scale === wanted?.scale;
  });
}

function uniqueId(path: string, slots: readonly ModelSlot[]): string {
  const name = basename(path, ".gguf");
  const isTaken = (id: string) => slots.some((slot) => slot.id === id);
  let id = name;
  for (let count = 2; isTaken(id); count++) id = `${name}-${count}`;
  return id;
}
