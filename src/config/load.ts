import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { ShouldersError } from "../errors.js";
import { checkValue, dottedPath, explainIssues } from "./explain-issues.js";
import { type FusionConfig, fusionConfigSchema } from "./fusion-config.js";
import { expandHome } from "./home-path.js";
import { defaultStrategy, type StrategyConfig } from "../strategies/registry.js";
import { nearestKey } from "./nearest-key.js";
import { mostConfigBytes, readTextFile } from "./read-text-file.js";
import { isYamlName, parseWrittenText } from "./written-text.js";

/**
 * A fusion config as read from a file: every default filled in, model sources still as written, the chat template as
 * its text.
 */
export interface LoadedFusionConfig {
  file: string;
  config: FusionConfig & { strategy: StrategyConfig };
  /** Where in the file a field stands: `file:line:column dotted.path`. */
  placeOf: (path: readonly PropertyKey[]) => string;
}

/** The published JSON Schema lies among the configs, for editors; it is not one of them. */
export const SCHEMA_FILE = "fusion-config.schema.json";

/** Nor are the calibration cards, audits of debates, and policies that an evaluation has left. */
export const CARD_ENDING = ".card.json";
export const DEBATE_AUDIT_ENDING = ".debate.json";
export const POLICIES_ENDING = ".policies.json";

/** Whether a name is one of a fusion config, by its ending. */
export const isConfigName = (name: string): boolean =>
  (/\.json$/i.test(name) || isYamlName(name)) &&
  ![CARD_ENDING, DEBATE_AUDIT_ENDING, POLICIES_ENDING].some((ending) => name.endsWith(ending)) &&
  name !== SCHEMA_FILE;

/** What is meant as a config, and would be passed over in silence. */
const isForeignName = (name: string): boolean => /\.(jsonc|json5|toml)$/i.test(name);

const invalid = (message: string, cause?: unknown): ShouldersError =>
  new ShouldersError("fusion_config_invalid", message, { cause });

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Parses one fusion config.
 * @throws ShouldersError `fusion_config_invalid`, a line per problem: `file:line:column dotted.path: what to do`.
 */
export function parseFusionConfig(text: string, file: string): LoadedFusionConfig {
  const written = parseWrittenText(text, file);
  if (!written.ok)
    throw invalid(`${file}:${written.position.line}:${written.position.column}: ${written.message}`);
  const placeOf = (field: readonly PropertyKey[]): string => {
    const { line, column } = written.positionOf(field);
    return `${file}:${line}:${column}${field.length > 0 ? ` ${dottedPath(field)}` : ""}`;
  };
  const checked = checkValue(fusionConfigSchema, written.value);
  if (!checked.isValid) {
    const problems = explainIssues(fusionConfigSchema, written.value, checked.issues);
    throw invalid(problems.map((problem) => `${placeOf(problem.path)}: ${problem.message}`).join("\n"));
  }
  const { data } = checked;
  return { file, config: { ...data, strategy: data.strategy ?? defaultStrategy(data.experts) }, placeOf };
}

function listFiles(source: string): string[] {
  try {
    if (!statSync(source).isDirectory()) return [source];
    const names = readdirSync(source).filter((name) => isConfigName(name) || isForeignName(name));
    // As a person would list them: "all" before "all-paper".
    const stem = (name: string): string => path.parse(name).name;
    return names
      .sort()
      .sort((one, other) => Number(stem(one) > stem(other)) - Number(stem(one) < stem(other)))
      .map((name) => path.join(source, name));
  } catch (error) {
    throw invalid(
      `${source}: cannot be read (${reasonOf(error)}); give a fusion config or a directory of them`,
      error,
    );
  }
}

function readConfig(file: string): LoadedFusionConfig {
  if (isForeignName(file)) throw invalid(`${file}: is not read; write it as .json or .yaml`);
  let text: string;
  try {
    text = readTextFile(file, mostConfigBytes);
  } catch (error) {
    throw invalid(`${file}: cannot be read: ${reasonOf(error)}`, error);
  }
  return withKeyFile(withTemplate(parseFusionConfig(text, file)));
}

/** The whole path of the file with a server's key: whoever opens it may work elsewhere. */
function withKeyFile(loaded: LoadedFusionConfig): LoadedFusionConfig {
  const { file, config } = loaded;
  const { remote } = config.base;
  if (remote?.apiKeyFile === undefined) return loaded;
  const apiKeyFile = path.resolve(path.dirname(file), expandHome(remote.apiKeyFile));
  return { ...loaded, config: { ...config, base: { ...config.base, remote: { ...remote, apiKeyFile } } } };
}

/** The text of the chat template that a config names instead of its path. */
function withTemplate(loaded: LoadedFusionConfig): LoadedFusionConfig {
  const { file, config, placeOf } = loaded;
  const { chatTemplate } = config;
  if (chatTemplate === undefined || /\{[{%#]/.test(chatTemplate)) return loaded;
  const templateFile = path.resolve(path.dirname(file), expandHome(chatTemplate));
  try {
    return { ...loaded, config: { ...config, chatTemplate: readTextFile(templateFile, mostConfigBytes) } };
  } catch (error) {
    throw invalid(`${placeOf(["chatTemplate"])}: ${templateFile} cannot be read: ${reasonOf(error)}`, error);
  }
}

/** The configs of a directory that can be used, and what is wrong with the others. */
export interface ReadFusionConfigs {
  loaded: LoadedFusionConfig[];
  /** A line a problem, as `parseFusionConfig` writes them. */
  problems: string[];
}

/**
 * Reads every `*.json`, `*.yaml` and `*.yml` of a directory in the order of their names, or one file. Of configs with
 * the same id none is used: nobody knows which is meant.
 * @throws ShouldersError `fusion_config_invalid`: there is no config at all.
 */
export function readFusionConfigs(source: string): ReadFusionConfigs {
  const files = listFiles(source);
  if (files.length === 0)
    throw invalid(
      `${source}: no fusion config (*.json, *.yaml) in this directory; \`shoulders init\` writes one`,
    );
  const read: LoadedFusionConfig[] = [];
  const problems: string[] = [];
  for (const file of files) {
    try {
      read.push(readConfig(file));
    } catch (error) {
      problems.push(...ShouldersError.from(error).message.split("\n"));
    }
  }
  const idToConfigs = new Map<string, LoadedFusionConfig[]>();
  for (const one of read) idToConfigs.set(one.config.id, [...(idToConfigs.get(one.config.id) ?? []), one]);
  const loaded: LoadedFusionConfig[] = [];
  for (const [id, [first, ...others]] of idToConfigs) {
    if (first !== undefined && others.length === 0) loaded.push(first);
    for (const other of others)
      problems.push(
        `${other.placeOf(["id"])}: "${id}" is already the id of ${first?.file ?? ""}; ids are unique`,
      );
  }
  return { loaded, problems };
}

/**
 * All configs of a directory, or one file. All faulty files are reported at once.
 * @throws ShouldersError `fusion_config_invalid`
 */
export function loadFusionConfigs(source: string): LoadedFusionConfig[] {
  const { loaded, problems } = readFusionConfigs(source);
  if (problems.length > 0) throw invalid(problems.join("\n"));
  return loaded;
}

/**
 * The configs with these ids, or all that can be used: what is wrong with others stops none of them.
 *
 * @param warn hears what is wrong with others
 * @throws ShouldersError `fusion_config_invalid`: none can be used, or one that is asked for may be among the faulty
 *   ones; `settings_invalid` for an id that no config has.
 */
export function findFusionConfigs(
  source: string,
  ids: readonly string[],
  warn: (problem: string) => void,
): LoadedFusionConfig[] {
  const { loaded, problems } = readFusionConfigs(source);
  const known = new Set(loaded.map(({ config }) => config.id));
  if (problems.length > 0 && (loaded.length === 0 || ids.some((id) => !known.has(id))))
    throw invalid(problems.join("\n"));
  problems.forEach(warn);
  return selectFusionConfigs(loaded, ids);
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
