import path from "node:path";
import { expandHome } from "../config/home-path.js";
import { mapRoles, type Roles, inOrder } from "../config/members.js";
import type { FusionConfig } from "../config/fusion-config.js";
import type { LoadedFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import { planEngine } from "../engine/plan-client.js";
import { ShouldersError } from "../errors.js";
import { nameOf, readExpertFacts, readModelFacts } from "../llama/model-facts.js";
import { compareVocabularies, type ComparedVocabulary } from "../llama/vocabulary.js";
import { isRemote, resolveModel } from "../llama/resolve-model.js";
import type { Logger } from "../log.js";
import type { PlaceMemory, ResolvedFusionConfig } from "../protocol/protocol.js";
import type { Headers } from "./plan-downloads.js";
import { toEngineSettings } from "./run-time.js";
import { renderTable } from "./table.js";
import { formatBytes, formatCount } from "./units.js";

/** What the headers of a config's models say, before one of them is loaded or downloaded. */

export type HeaderFacts = ReturnType<typeof readModelFacts>;

/** @throws ShouldersError `model_file_invalid`: there is no such model, or it is none. */
export async function readHeader(source: string, headers: Headers): Promise<HeaderFacts> {
  return readModelFacts(await findHeader(source, headers));
}

/** @throws ShouldersError `model_file_invalid`, `adapter_invalid`: there is no such expert of this reference. */
export async function readExpertHeader(
  source: string,
  reference: HeaderFacts,
  headers: Headers,
): Promise<ReturnType<typeof readExpertFacts>> {
  return readExpertFacts(await findHeader(source, headers), reference.path);
}

async function findHeader(source: string, headers: Headers): Promise<string> {
  const relativeTo = process.cwd();
  const nothing = { downloadDirectory: "", onProgress: () => undefined };
  return isRemote(source)
    ? headers.find(source, relativeTo)
    : resolveModel(source, { relativeTo, ...nothing });
}

/** Of models that are here. */
export function readFactsOf(members: Roles<{ path: string }>): Roles<HeaderFacts> {
  return mapRoles(members, ({ path: file }) => readModelFacts(file));
}

export function headersTable(ids: readonly string[], facts: Roles<HeaderFacts>): string {
  const roles = [
    "base",
    ...(facts.reference === null ? [] : ["reference"]),
    ...ids.map((id) => `expert ${id}`),
  ];
  const rows = inOrder(facts).map((model, index) => [
    roles[index] ?? "",
    nameOf(model),
    model.architecture,
    model.quantization,
    formatCount(model.numParameters),
    formatBytes(model.sizeBytes),
    String(model.tokens.length),
    String(model.contextTrain ?? "?"),
  ]);
  const left = ["role", "file", "architecture", "type"].map((header) => ({ header, align: "left" as const }));
  const right = ["parameters", "weights", "vocabulary", "trained for"].map((header) => ({
    header,
    align: "right" as const,
  }));
  return renderTable([...left, ...right], rows);
}

const asVocabulary = ({ tokens }: HeaderFacts): ComparedVocabulary => ({
  size: tokens.length,
  rawText: (token) => tokens[token] ?? "",
  bos: null,
  addsBos: false,
});

/**
 * Holds the vocabularies against each other; small models that have one of their own need share it among themselves only.
 * @throws ShouldersError `vocabulary_mismatch`
 */
export function checkVocabularies(
  { base, reference, experts }: Roles<HeaderFacts>,
  vocabulary: FusionConfig["vocabulary"],
): void {
  const small = reference === null ? experts : [reference, ...experts];
  const [first = base, ...others] = vocabulary === "own" ? small : [base, ...small];
  for (const other of others)
    compareVocabularies(asVocabulary(first), asVocabulary(other), { base: first.path, other: other.path });
}

/**
 * Whether the small models share the base's vocabulary, or have one of their own together.
 * @throws ShouldersError `vocabulary_mismatch`: reference and experts differ
 */
export function findVocabulary(facts: Roles<HeaderFacts>): "shared" | "own" {
  try {
    checkVocabularies(facts, "shared");
    return "shared";
  } catch (error) {
    if (!(error instanceof ShouldersError) || error.code !== "vocabulary_mismatch") throw error;
    checkVocabularies(facts, "own");
    return "own";
  }
}

/** Sizes of a config's context that are tried until one fits, the largest first. */
function contextsFor(tokens: number): { tokens: number; sequences: number }[] {
  const sequences = [8, 4, 2, 1].map((count) => ({ tokens, sequences: count }));
  const shorter = [2048, 1024, 512]
    .filter((count) => count < tokens)
    .map((count) => ({ tokens: count, sequences: 1 }));
  return [...sequences, ...shorter];
}

/** As long as models are usually asked for, and no longer than they were trained for. */
const usualTokens = 4096;

export interface PlannedContext {
  context: { tokens: number; sequences: number };
  places: PlaceMemory[];
}

/**
 * The largest usual context with which the models fit here, and the memory that they take with it.
 *
 * @throws ShouldersError `out_of_memory`: they fit with none.
 */
export async function planContext(
  config: LoadedFusionConfig["config"],
  facts: Roles<HeaderFacts>,
  { settings, log, signal }: { settings: Settings; log: Logger; signal: AbortSignal },
): Promise<PlannedContext> {
  const trained = inOrder(facts).map(({ contextTrain }) => contextTrain ?? usualTokens);
  let refused: ShouldersError | null = null;
  for (const context of contextsFor(Math.min(usualTokens, ...trained))) {
    const members = mapRoles(facts, ({ path: file }) => file);
    const resolved = resolvedOf({ ...config, context }, members);
    try {
      const places = await planEngine({
        configs: [resolved],
        settings: toEngineSettings(settings),
        log,
        signal,
      });
      return { context, places };
    } catch (error) {
      signal.throwIfAborted();
      refused = ShouldersError.from(error);
      if (refused.code !== "out_of_memory") throw refused;
    }
  }
  throw refused ?? new ShouldersError("out_of_memory", "The models do not fit here.");
}

function resolvedOf(config: LoadedFusionConfig["config"], files: Roles<string>): ResolvedFusionConfig {
  const { base, reference, experts } = config;
  const whole = { adapter: null, adapterPath: null };
  return {
    config,
    members: {
      base: { role: "base", id: "base", source: base, path: files.base, ...whole },
      reference:
        reference === null || files.reference === null
          ? null
          : { role: "reference", id: "reference", source: reference, path: files.reference, ...whole },
      experts: experts.map(({ id, model, adapter, scale = 1 }, index) => {
        const path = files.experts[index] ?? "";
        const expert = { role: "expert" as const, id, source: model ?? reference ?? base };
        if (adapter === undefined) return { ...expert, path, ...whole };
        return {
          ...expert,
          path: files.reference ?? "",
          adapter: { file: adapter, scale },
          adapterPath: path,
        };
      }),
    },
    card: null,
  };
}

/** A model's path as a config in `folder` has it: URIs, absolute paths and those of the home folder as they are. */
export function pathFrom(folder: string, source: string): string {
  if (/^[a-z]+:/i.test(source) || path.isAbsolute(source) || expandHome(source) !== source) return source;
  return path.relative(folder, path.resolve(source)).replaceAll(path.sep, "/");
}

/** `my-model.gguf`, `hf:user/My-Model-GGUF:Q4_K_M` → `my-model`: an id that says which file it was. */
export function idOf(source: string, reference: string | null): string {
  const bare = (text: string) =>
    path
      .basename(text.replace(/^hf:/i, "").replace(/:[^:/]*$/, ""))
      .replace(/(-gguf|\.gguf)$/i, "")
      .toLowerCase()
      .replaceAll(/[^a-z0-9._-]+/g, "-")
      .replace(/^[^a-z0-9]+/, "")
      .slice(0, 64);
  const own = bare(source);
  const prefix = reference === null ? "" : `${bare(reference)}-`;
  const short = prefix.length > 1 && own.startsWith(prefix) ? own.slice(prefix.length) : own;
  return /^[a-z0-9]/.test(short) ? short : own || "expert";
}
