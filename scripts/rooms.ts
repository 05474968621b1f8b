import path from "node:path";
import { root } from "./generated-docs.js";

/** The picture and the table of the rooms of src/, made from the lint rule that holds them. */

type Allowed = Record<string, readonly string[]>;

/** Rooms, or single files, by the rooms and files that each may import. */
export async function allowedImports(): Promise<Allowed> {
  const config = path.join(root, "eslint.config.js");
  return ((await import(config)) as { allowedImports: Allowed }).allowedImports;
}

const isFileInRoom = (name: string): boolean => name.includes("/");

/** Whole rooms that `from` leads to over whole rooms, itself left out. */
function reachable(from: string, allowed: Allowed, seen = new Set<string>()): Set<string> {
  for (const room of allowed[from] ?? []) {
    if (isFileInRoom(room) || seen.has(room)) continue;
    seen.add(room);
    reachable(room, allowed, seen);
  }
  return seen;
}

/** Arrows from room to room; those that a longer way stands for are left out. */
export function arrows(allowed: Allowed): { from: string; to: string; file: string | null }[] {
  return Object.entries(allowed).flatMap(([from, names]) => {
    const isOnTheWay = (to: string): boolean =>
      names.some((other) => other !== to && !isFileInRoom(other) && reachable(other, allowed).has(to));
    return names
      .filter((to) => isFileInRoom(to) || !isOnTheWay(to))
      .map((to) => ({ from, to: to.split("/")[0] ?? to, file: isFileInRoom(to) ? to : null }));
  });
}

export function roomsText(allowed: Allowed): string {
  const imported = new Set(Object.values(allowed).flat());
  const tops = Object.keys(allowed).filter((room) => !imported.has(room));
  const lines = [
    ...tops.map((room) => `cli --> ${room}`),
    ...arrows(allowed).map(({ from, to, file }) =>
      file === null ? `${from} --> ${to}` : `${from} -. ${path.posix.basename(file)} .-> ${to}`,
    ),
  ];
  const picture = ["```mermaid", "flowchart TD", ...lines.map((line) => `  ${line}`), "```"].join("\n");
  const rows = Object.entries(allowed).map(([room, names]) => {
    const shown = names.map((name) => `\`${name}\``).join(", ");
    return `| \`${room}\` | ${shown} |`;
  });
  return `${picture}\n\n${["| room | may import |", "| --- | --- |", ...rows].join("\n")}`;
}
