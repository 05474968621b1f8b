import { ShouldersError } from "../errors.js";
import { type GgufPart, type GgufSummary, readGgufHeader } from "./gguf-file.js";
import type { GgufTensor } from "./gguf-tensors.js";

/** What the header of a LoRA adapter says, once it is known to fit its model. */
export interface AdapterFacts {
  path: string;
  /** Smallest and largest rank of its pairs. */
  ranks: readonly [number, number];
  /** α: with rank r, a pair is added by scale · α ÷ r. 0: by the scale alone. */
  alpha: number;
  numParameters: number;
  sizeBytes: number;
  /** The model that it was trained on, as the file calls it; null: it does not say. */
  trainedOn: string | null;
  /** Numbers that its widest pair makes of a token, beside what the model makes. */
  widest: number;
}

/** A matrix of the model, and what is added to it: B·A. */
interface Pair {
  matrix: GgufTensor;
  a: GgufTensor;
  b: GgufTensor;
}

const invokedKey = "adapter.alora.invocation_tokens";
const embeddings = "token_embd.weight";
/** NVFP4 keeps a scale apart, which libllama would apply to what an adapter adds. */
const typeWithoutAdapters = 40;

/**
 * Reads an adapter's header before native code sees the file. libllama ends the process on some adapters (a pair of a
 * tied embedding matrix, metadata of another type), and leaves parts of others out without a word (norms).
 *
 * @throws ShouldersError `adapter_invalid`, `model_file_invalid`.
 */
export function checkAdapterFile(path: string, model: GgufSummary): AdapterFacts {
  const header = readGgufHeader(path);
  const fail = (reason: string) => refused(path, reason);
  checkKind(header, model, fail);
  const alpha = Number(header.values.get("adapter.lora.alpha") ?? 0);
  if (!Number.isFinite(alpha)) throw fail(`is corrupt: its alpha is ${alpha}`);
  const pairs = pairsOf(header.tensors, model, fail);
  if (pairs.length === 0) throw fail("changes nothing: it has no tensors");
  for (const pair of pairs) checkPair(pair, model, fail);
  const ranks = pairs.map(({ b }) => lengthOf(b, 0));
  const trainedOn = header.values.get("general.base_model.0.name");
  return {
    path,
    ranks: [Math.min(...ranks), Math.max(...ranks)],
    alpha,
    numParameters: header.tensors.reduce((sum, { elements }) => sum + elements, 0),
    sizeBytes: header.tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    trainedOn: typeof trainedOn === "string" ? trainedOn : null,
    widest: Math.max(...pairs.map(({ b }) => lengthOf(b, 0) + lengthOf(b, 1))),
  };
}

type Fail = (reason: string) => ShouldersError;

function refused(path: string, reason: string): ShouldersError {
  return new ShouldersError("adapter_invalid", `Adapter ${path} ${reason}.`);
}

function checkKind({ values, arrayLengths }: GgufPart, model: GgufSummary, fail: Fail): void {
  const [type, kind] = [values.get("general.type"), values.get("adapter.type")];
  if (type !== "adapter" || kind !== "lora")
    throw fail(
      values.has("tokenizer.ggml.model")
        ? 'is a whole model; give it to the expert as "model"'
        : "is no LoRA adapter; make it with llama.cpp's convert_lora_to_gguf.py",
    );
  const architecture = values.get("general.architecture");
  if (architecture !== model.architecture)
    throw fail(
      `is for the architecture ${String(architecture)}, and the reference (${model.path}) is ${model.architecture}`,
    );
  if (arrayLengths.has(invokedKey))
    throw fail("acts only after certain tokens (aLoRA), which is not done here; train a plain LoRA");
}

function pairsOf(tensors: readonly GgufTensor[], model: GgufSummary, fail: Fail): Pair[] {
  const matrices = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const halves = new Map<string, { a?: GgufTensor; b?: GgufTensor }>();
  for (const tensor of tensors) {
    const [, name, half] = /^(.*)\.lora_([ab])$/.exec(tensor.name) ?? [];
    if (name === undefined)
      throw fail(
        `has ${tensor.name}, which libllama leaves out or refuses: only matrices can be adapted. ` +
          `Merge it into the model, and give that to the expert as "model"`,
      );
    halves.set(name, { ...halves.get(name), [half === "a" ? "a" : "b"]: tensor });
  }
  return [...halves].map(([name, { a, b }]) => {
    const matrix = matrices.get(name);
    if (matrix === undefined)
      throw fail(
        `adapts ${name}, which the reference (${model.path}) does not have; was it trained on another?`,
      );
    if (a === undefined || b === undefined) throw fail(`has only half of the pair of ${name}`);
    return { matrix, a, b };
  });
}

function checkPair({ matrix, a, b }: Pair, model: GgufSummary, fail: Fail): void {
  const { name } = matrix;
  const isTied = !model.tensors.some((tensor) => tensor.name === "output.weight");
  if (name === embeddings && isTied)
    throw fail(
      `adapts ${name}, which is also the output of the reference (${model.path}): libllama cannot do that. ` +
        `Train without embed_tokens and lm_head, or merge it and give that to the expert as "model"`,
    );
  if (matrix.shape.length < 2 || (matrix.type === typeWithoutAdapters && name.includes("ffn")))
    throw fail(`adapts ${name}, to which libllama can add nothing`);
  // The embeddings' A is a table too: a row of it for each token.
  const [wanted, found] =
    name === embeddings
      ? [
          [lengthOf(matrix, 1), lengthOf(matrix, 0), lengthOf(b, 0)],
          [lengthOf(a, 1), lengthOf(b, 1), lengthOf(a, 0)],
        ]
      : [
          [lengthOf(matrix, 0), lengthOf(matrix, 1), lengthOf(b, 0)],
          [lengthOf(a, 0), lengthOf(b, 1), lengthOf(a, 1)],
        ];
  const outer = [a, b].every((half) =>
    [2, 3].every((axis) => lengthOf(half, axis) === lengthOf(matrix, axis)),
  );
  if (wanted.some((length, axis) => length !== found[axis]) || !outer)
    throw fail(
      `does not fit ${name} of the reference (${model.path}): A is ${shown(a)} and B ${shown(b)}, the matrix ` +
        `${shown(matrix)}. Take the model that it was trained on as the reference`,
    );
}

const lengthOf = ({ shape }: GgufTensor, axis: number): number => shape[axis] ?? 1;
const shown = ({ shape }: GgufTensor): string => shape.join("×");
