import { basename } from "node:path";

import { isQuantized } from "../config/model-source.js";
import { present, ShouldersError } from "../errors.js";
import { noBuffers, sumMemory, totalOf } from "../llama/buffers.js";
import { gibibytes } from "../llama/memory.js";
import { bufferKinds, type ContextOptions, mainMemory, type MeasuredVocabulary } from "../llama/types.js";
import type { PlaceMemory } from "../protocol/description.js";
import type { ModelNeed } from "./model-needs.js";
import {
  findOverruns,
  largest,
  type Machine,
  type Measure,
  type Overrun,
  placeModels,
  type PlannedModel,
} from "./placement.js";

/** What all models are going to take, before one of them is loaded. */
export interface MemoryPlan {
  models: PlannedModel[];
  /** Every device, and main memory last. */
  places: PlaceMemory[];
}

export interface PlanOptions {
  needs: readonly ModelNeed[];
  machine: Machine;
  measure: Measure;
  /** What the program takes beside its models, by what they have of vocabularies. */
  programBytes: (vocabularies: readonly MeasuredVocabulary[]) => number;
}

/**
 * Plans the memory of all models together.
 *
 * @throws ShouldersError `out_of_memory` when they do not fit, with the numbers and the nearest settings that
 *   would; `fusion_config_invalid` when a config wants what is not there.
 */
export function planMemory(options: PlanOptions): MemoryPlan {
  const { models, overruns, programBytes } = attempt(options);
  const { machine } = options;
  if (overruns.length > 0) throw tooMuch(models, overruns, options);
  const sums = sumMemory(models.map(({ memory }) => memory));
  const place = (
    name: string,
    details: Omit<PlaceMemory, "name" | "buffers" | "programBytes">,
  ): PlaceMemory => ({
    name,
    ...details,
    buffers: sums.get(name) ?? noBuffers(),
    numLayers: models.reduce((sum, { layersByDevice }) => sum + (layersByDevice.get(name) ?? 0), 0),
    programBytes: name === mainMemory ? programBytes : 0,
  });
  return {
    models,
    places: [
      ...machine.devices.map(({ name, description, freeBytes, totalBytes, isUnified }) =>
        place(name, { description, freeBytes, totalBytes, isUnified }),
      ),
      place(mainMemory, {
        description: "",
        freeBytes: machine.freeBytes,
        totalBytes: machine.limitBytes,
        isUnified: true,
      }),
    ],
  };
}

interface Attempt {
  models: PlannedModel[];
  overruns: Overrun[];
  programBytes: number;
}

function attempt({ needs, machine, measure, programBytes }: PlanOptions): Attempt {
  const models = placeModels(needs, machine, measure);
  const program = programBytes(models.map(({ need, placement }) => measure(need, placement).vocabulary));
  return { models, overruns: findOverruns(models, machine, program), programBytes: program };
}

/** Whether other needs would fit. What libllama refuses does not. */
function wouldFit(options: PlanOptions, change: (need: ModelNeed) => ModelNeed): Attempt | null {
  try {
    const tried = attempt({ ...options, needs: options.needs.map(change) });
    return tried.overruns.length === 0 ? tried : null;
  } catch (error) {
    if (error instanceof ShouldersError) return null;
    throw error;
  }
}

function tooMuch(
  models: readonly PlannedModel[],
  overruns: readonly Overrun[],
  options: PlanOptions,
): ShouldersError {
  const asked = overruns.map(
    ({ place, neededBytes, freeBytes }) =>
      `${place} would need ${gibibytes(neededBytes)} of ${gibibytes(freeBytes)} (${partsIn(place, models)})`,
  );
  const remedies = findRemedies(options);
  const advice =
    remedies.length === 0
      ? "No smaller context would do: use smaller or more quantized files."
      : `It would fit with ${remedies.join("; or ")}.`;
  return new ShouldersError("out_of_memory", `The models do not fit: ${asked.join("; ")}. ${advice}`);
}

/** The largest parts first: `base: weights 4.0 GiB, cells 2.0 GiB`. */
function partsIn(place: string, models: readonly PlannedModel[]): string {
  const parts = models.flatMap(({ need, memory }) => {
    const buffers = memory.get(place);
    return buffers ? [{ name: basename(need.path, ".gguf"), buffers }] : [];
  });
  parts.sort((a, b) => totalOf(b.buffers) - totalOf(a.buffers));
  return parts
    .slice(0, 4)
    .map(({ name, buffers }) => {
      const kinds = bufferKinds.filter((kind) => buffers[kind] > 0);
      return `${name}: ${kinds.map((kind) => `${kind} ${gibibytes(buffers[kind])}`).join(", ")}`;
    })
    .join("; ");
}

/** A context's length is tried in steps of what libllama pads it to. */
const contextStep = 256;

/** Single changes of the configs that would make everything fit, each as near to what was asked as can be. */
function findRemedies(options: PlanOptions): string[] {
  return [fewerLayers(options), smallerContext(options), smallerCells(options)].filter(
    (remedy) => remedy !== null,
  );
}

function fewerLayers(options: PlanOptions): string | null {
  const isSet = ({ wishes }: ModelNeed) => wishes.gpuLayers !== "auto" && wishes.gpuLayers > 0;
  if (options.machine.devices.length === 0 || !options.needs.some(isSet)) return null;
  const found = wouldFit(options, (need) => ({ ...need, wishes: { ...need.wishes, gpuLayers: "auto" } }));
  const changed = found?.models.flatMap(({ need, placement }, index) =>
    isSet(present(options.needs[index], "need"))
      ? [`gpuLayers ${placement.gpuLayers} for ${basename(need.path)}`]
      : [],
  );
  return changed?.join(" and ") ?? null;
}

function smallerContext(options: PlanOptions): string | null {
  const most = Math.max(...options.needs.map(({ context }) => context.tokens));
  const limited = (steps: number) => (need: ModelNeed) => {
    const numCells = Math.min(need.context.tokens, steps * contextStep) * need.context.sequences;
    return withOptions(need, {
      numCells: Math.min(need.options.numCells, numCells),
      batchTokens: Math.min(need.options.batchTokens, numCells),
    });
  };
  const steps = largest(
    Math.ceil(most / contextStep) - 1,
    (count) => count === 0 || wouldFit(options, limited(count)) !== null,
  );
  return steps === 0 ? null : `context.tokens ${steps * contextStep} (of ${most})`;
}

function smallerCells(options: PlanOptions): string | null {
  const found = wouldFit(options, (need) =>
    isQuantized(need.options.cacheTypes?.keys ?? "f16") || need.options.flashAttention === "off"
      ? need
      : withOptions(need, { cacheTypes: { keys: "q8_0", values: "q8_0" } }),
  );
  return found === null ? null : 'cacheType "q8_0"';
}

function withOptions(need: ModelNeed, changes: Partial<ContextOptions>): ModelNeed {
  const change = (options: ContextOptions) => ({ ...options, ...changes });
  return { ...need, options: change(need.options), adapted: need.adapted.map(change) };
}
