import { z } from "zod";
import { modelPath } from "./model-path.js";
import type { RemoteBase } from "./remote-base.js";
import { rpcSchema } from "./rpc-servers.js";

/** Where a model's file is, and where and how its weights and cells are kept. Names follow llama-server's flags. */

export const cacheTypes = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"] as const;
export type CacheType = (typeof cacheTypes)[number];

/** Types of values that only flash attention can read. */
export function isQuantized(type: CacheType): boolean {
  return type.includes("q");
}

const cacheType = z.enum(cacheTypes);

const device = z.union([z.string().min(1), z.int().min(0).max(255)]);

const placedModelSchema = z
  .strictObject({
    model: modelPath,
    gpuLayers: z
      .union([z.literal("auto"), z.int().min(0).max(1024)])
      .default("auto")
      .describe("Layers to place on the GPU, the output counted as one; auto: as many as fit."),
    device: z
      .union([device, z.array(device).min(1).max(16)])
      .optional()
      .describe(
        'The GPU, by name ("CUDA0") or number, or several to split the layers; "none": main memory. ' +
          "Default: planned with all other models.",
      ),
    splitMode: z
      .enum(["layer", "row", "none"])
      .optional()
      .describe(
        "layer (default): every GPU holds some layers; row: parts of each matrix, where the backend has it; " +
          "none: all on mainGpu.",
      ),
    split: z
      .array(z.number().min(0).max(1e6))
      .min(1)
      .max(16)
      .optional()
      .describe("Each device's share of the layers, in the order of device. Default: by free memory."),
    mainGpu: device
      .optional()
      .describe("With splitMode none the GPU for all, with row that of small tensors. Default: the first."),
    flashAttention: z
      .enum(["auto", "on", "off"])
      .optional()
      .describe("Attention that keeps no matrix of scores. Default: auto, on where the device has it."),
    cacheType: z
      .union([cacheType, z.strictObject({ keys: cacheType.optional(), values: cacheType.optional() })])
      .optional()
      .describe(
        "Type of the cells' keys and values, as one name or apart: q8_0 halves them. Quantized values need " +
          "flash attention. Default: f16.",
      ),
    mmap: z
      .boolean()
      .optional()
      .describe("Map the file instead of reading it, where the device can. Default: true."),
    metadata: z
      .record(z.string().min(1), z.union([z.boolean(), z.number(), z.string()]))
      .optional()
      .describe(
        "Replaces entries of the file's header, by key: tokenizer.ggml.eos_token_id, tokenizer.ggml.add_bos_token, " +
          "numbers of its architecture.",
      ),
    windowCells: z
      .boolean()
      .optional()
      .describe(
        "Layers with a sliding window keep a window's cells only. Then nothing is guessed ahead, and prompts are " +
          "shared only as a whole. Default: false.",
      ),
    mlock: z.boolean().optional().describe("Keep weights from being swapped out. Default: false."),
    threads: z
      .int()
      .min(1)
      .max(512)
      .optional()
      .describe("Threads of this model's decode. Default: the setting `threads`."),
  })
  .check(({ value, issues }) => {
    const problem = (field: string, message: string) =>
      issues.push({ code: "custom", input: value, path: [field], message });
    const { values } = cacheTypesOf(value);
    if (value.flashAttention === "off" && isQuantized(values))
      problem("cacheType", `values of type ${values} need flash attention, which is off`);
    if (value.split?.every((share) => share === 0)) problem("split", "one share at least must be above 0");
    if (value.split && Array.isArray(value.device) && value.split.length !== value.device.length)
      problem("split", `${value.split.length} shares for ${value.device.length} devices`);
    if (value.mainGpu !== undefined && (value.splitMode ?? "layer") === "layer")
      problem("mainGpu", 'has a meaning with splitMode "none" or "row" only; use device');
  });

const servedModelSchema = placedModelSchema
  .safeExtend({ rpc: rpcSchema.optional() })
  .check(({ value, issues }) => {
    const problem = (field: string, message: string) =>
      issues.push({ code: "custom", input: value, path: [field], message });
    if (value.rpc === undefined) return;
    for (const field of ["split", "splitMode", "mainGpu"] as const)
      if (value[field] !== undefined)
        problem(field, "has no meaning with rpc, whose servers hold layers; rpc.split says how many each");
    if (value.gpuLayers === 0) problem("gpuLayers", "0 leaves nothing to the servers of rpc");
  });

type Source = z.output<typeof servedModelSchema>;

/** A path alone, or an object with the model's placement. */
export const modelSchema = z.union([modelPath, placedModelSchema]).transform(asSource);

/** The same, perhaps with RPC servers. */
export const baseSchema = z.union([modelPath, servedModelSchema]).transform(asSource);

function asSource(value: string | Source): Source {
  return typeof value === "string" ? { model: value, gpuLayers: "auto" } : value;
}

export interface ModelSource extends Source {
  /** Another server computes it: `model` is the file of its vocabulary. */
  remote?: RemoteBase;
}

/** The types of a model's cells, defaults filled in. */
export function cacheTypesOf({ cacheType }: Pick<ModelSource, "cacheType">): {
  keys: CacheType;
  values: CacheType;
} {
  if (typeof cacheType === "string") return { keys: cacheType, values: cacheType };
  return { keys: cacheType?.keys ?? "f16", values: cacheType?.values ?? "f16" };
}

/** Overrides of what a file says of its positions. */
export const ropeSchema = z
  .strictObject({
    scaling: z.enum(["none", "linear", "yarn"]).optional().describe("How positions are stretched."),
    scale: z
      .number()
      .gt(0)
      .max(1024)
      .optional()
      .describe("How many times the context that the model was trained for."),
    freqBase: z.number().gt(0).max(1e12).optional().describe("RoPE's base frequency."),
    yarn: z
      .strictObject({
        origCtx: z.int().min(1).max(1_048_576).optional().describe("Context that the model was trained for."),
        extFactor: z.number().min(0).max(1).optional().describe("Mix of extrapolation; 0: interpolation."),
        attnFactor: z.number().min(0).max(100).optional().describe("Scale of the attention's magnitude."),
        betaFast: z.number().min(0).max(1000).optional().describe("Low correction dimension."),
        betaSlow: z.number().min(0).max(1000).optional().describe("High correction dimension."),
      })
      .optional()
      .describe("YaRN's own parameters."),
  })
  .describe("Overrides of the models' rotary positions (RoPE, YaRN). Default: what each file says.");

export type RopeOverrides = z.output<typeof ropeSchema>;
