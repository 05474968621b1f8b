import { invariant } from "../src/errors.js";

/** A Dockerfile as its instructions, and what a `.dockerignore` leaves of the context. */

export interface Instruction {
  /** In capitals: RUN, COPY, … */
  name: string;
  text: string;
}

export interface Stage {
  name: string;
  /** An image, or the name of an earlier stage, with its arguments filled in. */
  from: string;
  instructions: Instruction[];
}

/** The stages of a Dockerfile under these build arguments; arguments before the first FROM have their defaults. */
export function parseDockerfile(text: string, buildArguments: Record<string, string>): Stage[] {
  const values: Record<string, string> = {};
  const stages: Stage[] = [];
  for (const { name, text: rest } of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (name === "FROM") {
      const [, from, alias] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      invariant(from !== undefined, `FROM ${rest}`);
      stages.push({ name: alias ?? String(stages.length), from: fill(from, values), instructions: [] });
    } else if (!stage) {
      invariant(name === "ARG", `${name} before FROM`);
      const [key = "", fallback = ""] = rest.split("=");
      values[key] = buildArguments[key] ?? fallback;
      // One that is named again in a stage has its value there.
    } else if (name === "ARG") stage.instructions.push({ name, text: `${rest}=${values[rest] ?? ""}` });
    else stage.instructions.push({ name, text: rest });
  }
  return stages;
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => !line.trimStart().startsWith("#"));
  const joined = lines.join("\n").replaceAll(/\\\n/g, " ");
  return joined
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name = "", rest = ""] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { name: name.toUpperCase(), text: rest };
    });
}

/** Fills in `$NAME` and `${NAME}`. */
export function fill(text: string, values: Record<string, string>): string {
  return text.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, plain?: string) => {
    const value = values[braced ?? plain ?? ""];
    invariant(value !== undefined, `no value for ${braced ?? plain} in ${text}`);
    return value;
  });
}

/** What `*` in a path of the context stands for. */
export function toPattern(glob: string): RegExp {
  const escaped = glob.replaceAll(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "[^/]*")}$`);
}

/** Whether a `.dockerignore` leaves a path of the context: the last line that names it, or a folder above it, decides. */
export function createContextFilter(dockerignore: string): (relativePath: string) => boolean {
  const rules = dockerignore
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ keeps: line.startsWith("!"), pattern: toPattern(line.replace(/^!/, "")) }));
  return (relativePath) => {
    const parts = relativePath.split("/");
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    const rule = rules.findLast(({ pattern }) => prefixes.some((prefix) => pattern.test(prefix)));
    return rule === undefined || rule.keeps;
  };
}
