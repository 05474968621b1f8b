import path from "node:path";
import { z } from "zod";
import { ShouldersError } from "../errors.js";
import { KEYS_VARIABLE } from "./api-keys.js";
import { CACHE_VARIABLE } from "./cache-folder.js";
import { checkValue, dottedPath, explainIssues } from "./explain-issues.js";
import { expandHome } from "./home-path.js";
import { nearestKey } from "./nearest-key.js";
import { mostConfigBytes, readTextFile } from "./read-text-file.js";
import {
  type SettingDescription,
  type SettingName,
  type Settings,
  describeSettings,
  settingNames,
  settingsSchema,
} from "./settings.js";
import { parseWrittenText } from "./written-text.js";

export type SettingOrigin = "flag" | "environment" | "file" | "default";

export interface SettingsInput {
  /** Values of the flags that were given, as written. */
  flags: Partial<Record<SettingName, string>>;
  environment: Record<string, string | undefined>;
  /** The settings file asked for by `--settings`; null: SHOULDERS_SETTINGS, or none. */
  file: string | null;
  /** Where relative paths of flags and variables start. */
  workingDirectory: string;
  /** Where the program is installed: relative defaults start there. */
  packageRoot: string;
}

export interface ResolvedSettings {
  settings: Settings;
  origins: Record<SettingName, SettingOrigin>;
  /** Things that are probably a slip but do not stop us. */
  warnings: string[];
}

const FILE_VARIABLE = "SHOULDERS_SETTINGS";

interface Candidate {
  value: unknown;
  origin: SettingOrigin;
  /** How a message names the source: `--port`, `SHOULDERS_PORT`, `settings.json:3:11 port`. */
  source: string;
  /** Where a relative path starts. */
  directory: string;
}

/**
 * Flag over environment variable over settings file over default. A value that is not allowed is refused even
 * where a stronger source hides it: it is a slip that would show on another day.
 * @throws ShouldersError `settings_invalid`, a line per problem, each naming its source.
 */
export function resolveSettings(input: SettingsInput): ResolvedSettings {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  const origins: Partial<Record<SettingName, SettingOrigin>> = {};
  const file = readSettingsFile(input, problems);
  for (const setting of describeSettings()) {
    const { name } = setting;
    const candidates = [...fromText(setting, input), ...file.candidates.filter(([key]) => key === name)].map(
      ([, candidate]) => candidate,
    );
    const accepted = candidates.filter((candidate) => accept(setting, candidate, problems));
    const [best = defaultOf(setting, input)] = accepted;
    values[name] = best.value;
    origins[name] = best.origin;
  }
  if (problems.length > 0) throw new ShouldersError("settings_invalid", problems.join("\n"));
  return {
    settings: settingsSchema.parse(values),
    origins: origins as Record<SettingName, SettingOrigin>,
    warnings: unknownVariables(input.environment),
  };
}

function defaultOf(setting: SettingDescription, input: SettingsInput): Candidate {
  const value = settingsSchema.shape[setting.name].parse(undefined);
  return {
    value: setting.isPath ? resolvePath(input.packageRoot, String(value)) : value,
    origin: "default",
    source: "default",
    directory: input.packageRoot,
  };
}

/** An empty path stands for none. */
function resolvePath(directory: string, value: string): string {
  return value === "" ? "" : path.resolve(directory, expandHome(value));
}

/** Candidates written as text, the strongest first. A variable that is set to nothing counts as not set. */
function fromText(setting: SettingDescription, input: SettingsInput): [SettingName, Candidate][] {
  const directory = input.workingDirectory;
  const flag = input.flags[setting.name];
  const variable = input.environment[setting.variable];
  const candidates: [SettingName, Candidate][] = [];
  if (flag !== undefined)
    candidates.push([setting.name, { value: flag, origin: "flag", source: setting.flag, directory }]);
  if (variable !== undefined && variable !== "")
    candidates.push([
      setting.name,
      { value: variable, origin: "environment", source: setting.variable, directory },
    ]);
  return candidates;
}

/** What a text of a flag or variable may stand for: itself, a number, or a list. */
function readings(text: string): unknown[] {
  const list = text.split(",").map((part) => part.trim());
  return [text, ...(/^-?\d+(\.\d+)?$/.test(text) ? [Number(text)] : []), list.filter((part) => part !== "")];
}

/** Parses a candidate in place; says what is wrong with it and its source if nothing it can stand for is allowed. */
function accept(setting: SettingDescription, candidate: Candidate, problems: string[]): boolean {
  const schema: z.ZodType = settingsSchema.shape[setting.name];
  const isText = candidate.origin !== "file" && typeof candidate.value === "string";
  const given = isText ? readings(candidate.value as string) : [candidate.value];
  for (const reading of given) {
    const parsed = schema.safeParse(reading);
    if (!parsed.success) continue;
    candidate.value = setting.isPath ? resolvePath(candidate.directory, String(parsed.data)) : parsed.data;
    return true;
  }
  problems.push(
    `${candidate.source}: ${JSON.stringify(candidate.value)} is not allowed; give ${setting.allowed}`,
  );
  return false;
}

function readSettingsFile(
  input: SettingsInput,
  problems: string[],
): { candidates: [SettingName, Candidate][] } {
  const given = input.file ?? (input.environment[FILE_VARIABLE] || null);
  if (given === null) return { candidates: [] };
  const file = path.resolve(input.workingDirectory, expandHome(given));
  let text: string;
  try {
    text = readTextFile(file, mostConfigBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    problems.push(
      `${file}: the settings file cannot be read (${reason}); check --settings or ${FILE_VARIABLE}`,
    );
    return { candidates: [] };
  }
  const parsed = parseWrittenText(text, file);
  if (!parsed.ok) {
    problems.push(`${file}:${parsed.position.line}:${parsed.position.column}: ${parsed.message}`);
    return { candidates: [] };
  }
  const at = (keys: readonly PropertyKey[]): string => {
    const { line, column } = parsed.positionOf(keys);
    return `${file}:${line}:${column}`;
  };
  // Values are checked one by one with the others; here only the shape and the keys.
  const shape = z.strictObject(Object.fromEntries(settingNames.map((name) => [name, z.unknown()])));
  const checked = checkValue(shape.partial(), parsed.value);
  if (!checked.isValid) {
    for (const problem of explainIssues(shape, parsed.value, checked.issues))
      problems.push(`${[at(problem.path), dottedPath(problem.path)].join(" ").trim()}: ${problem.message}`);
    return { candidates: [] };
  }
  const directory = path.dirname(file);
  const candidates = Object.entries(checked.data).map(([key, value]): [SettingName, Candidate] => [
    key as SettingName,
    { value, origin: "file", source: `${at([key])} ${key}`, directory },
  ]);
  return { candidates };
}

/** Orchestrators set variables of this form for a service called `shoulders`. */
const foreignVariable = /^SHOULDERS_(?:SERVICE|PORT)_/;

function unknownVariables(environment: Record<string, string | undefined>): string[] {
  const settings = describeSettings().map((setting) => setting.variable);
  const known = [...settings, FILE_VARIABLE, KEYS_VARIABLE, CACHE_VARIABLE];
  return Object.keys(environment)
    .filter((name) => name.startsWith("SHOULDERS_") && !known.includes(name) && !foreignVariable.test(name))
    .map((name) => {
      const nearest = nearestKey(name, known);
      const hint = nearest === null ? `known: ${known.join(", ")}` : `did you mean ${nearest}?`;
      return `${name} is not a setting and is not used; ${hint}`;
    });
}
