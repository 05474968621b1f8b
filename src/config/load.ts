import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { ShouldersError } from "../errors.js";
import { checkValue, dottedPath, explainIssues } from "./explain-issues.js";
import { type FusionConfig, fusionConfigSchema } from "./fusion-config.js";
import { defaultStrategy, type StrategyConfig } from "../strategies/registry.js";
import { parseJsonText } from "./json-text.js";
import { nearestKey } from "./nearest-key.js";
import { mostConfigBytes, readTextFile } from "./read-text-file.js";

/** A fusion config as read from a file: every default filled in, model sources still as written. */
export interface LoadedFusionConfig {
  file: string;
  config: FusionConfig & { strategy: StrategyConfig };
}

/** The published JSON Schema lies among the configs, for editors; it is not one of them. */
export const SCHEMA_FILE = "fusion-config.schema.json";

/** Nor are the calibration cards. */
export const CARD_ENDING = ".card.json";

const isConfigName = (name: string): boolean =>
  name.endsWith(".json") && !name.endsWith(CARD_ENDING) && name !== SCHEMA_FILE;

const invalid = (message: string, cause?: unknown): ShouldersError =>
  new ShouldersError("fusion_config_invalid", message, { cause });

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Parses one fusion config.
 * @throws ShouldersError `fusion_config_invalid`, a line per problem: `file:line:column dotted.path: what to do`.
 */
export function parseFusionConfig(text: string, file: string): LoadedFusionConfig {
  const json = parseJsonText(text);
  if (!json.ok)
    throw invalid(`${file}:${json.position.line}:${json.position.column}: not JSON: ${json.message}`);
  const checked = checkValue(fusionConfigSchema, json.value);
  if (!checked.isValid) {
    const problems = explainIssues(fusionConfigSchema, json.value, checked.issues);
    const lines = problems.map((problem) => {
      const { line, column } = json.positionOf(problem.path);
      const where = problem.path.length > 0 ? ` ${dottedPath(problem.path)}` : "";
      return `${file}:${line}:${column}${where}: ${problem.message}`;
    });
    throw invalid(lines.join("\n"));
  }
  const { data } = checked;
  return { file, config: { ...data, strategy: data.strategy ?? defaultStrategy(data.experts) } };
}

function listFiles(source: string): string[] {
  try {
    if (!statSync(source).isDirectory()) return [source];
    const names = readdirSync(source).filter(isConfigName);
    return names.sort().map((name) => path.join(source, name));
  } catch (error) {
    throw invalid(
      `${source}: cannot be read (${reasonOf(error)}); give a fusion config or a directory of them`,
      error,
    );
  }
}

function readConfig(file: string): LoadedFusionConfig {
  let text: string;
  try {
    text = readTextFile(file, mostConfigBytes);
  } catch (error) {
    throw invalid(`${file}: cannot be read: ${reasonOf(error)}`, error);
  }
  return parseFusionConfig(text, file);
}

/**
 * Reads every `*.json` of a directory in the order of their names, or one file. All faulty files are reported
 * at once.
 * @throws ShouldersError `fusion_config_invalid`
 */
export function loadFusionConfigs(source: string): LoadedFusionConfig[] {
  const files = listFiles(source);
  if (files.length === 0) throw invalid(`${source}: no fusion config (*.json) in this directory`);
  const loaded: LoadedFusionConfig[] = [];
  const problems: string[] = [];
  for (const file of files) {
    try {
      loaded.push(readConfig(file));
    } catch (error) {
      problems.push(ShouldersError.from(error).message);
    }
  }
  for (const [index, { file, config }] of loaded.entries()) {
    const first = loaded.findIndex((other) => other.config.id === config.id);
    if (first < index)
      problems.push(
        `${file} id: "${config.id}" is already the id of ${loaded[first]?.file ?? ""}; ids are unique`,
      );
  }
  if (problems.length > 0) throw invalid(problems.join("\n"));
  return loaded;
}

/**
 * The configs with these ids, in the order asked for; all of them when no id is named.
 * @throws ShouldersError `settings_invalid` for an id that no config has.
 */
export function selectFusionConfigs(
  loaded: readonly LoadedFusionConfig[],
  ids: readonly string[],
): LoadedFusionConfig[] {
  if (ids.length === 0) return [...loaded];
  const known = loaded.map(({ config }) => config.id);
  return [...new Set(ids)].map((id) => {
    const found = loaded.find(({ config }) => config.id === id);
    if (found !== undefined) return found;
    const nearest = nearestKey(id, known);
    const hint = nearest === null ? `known: ${known.join(", ")}` : `did you mean "${nearest}"?`;
    throw new ShouldersError("settings_invalid", `no fusion config has the id "${id}"; ${hint}`);
  });
}
