import {
  saveGguf,
  float32Bytes,
  type GgufEntry,
  type GgufParts,
  readGguf,
  stringBytes,
} from "./gguf-editor.js";

/** Makes LoRA adapters out of what a tuning changed, and the same change merged into the weights. */

const [float32Type, stringType] = [6, 8];
const [float32Tensor, float16Tensor] = [0, 1];
const alignment = 32;

/** A matrix of weights, row by row: [rows][columns] as numbers. */
export interface Matrix {
  name: string;
  columns: number;
  rows: number;
  values: Float32Array;
}

export interface AdapterOptions {
  /** α; the pairs are made so that B·A·α ÷ r is the change. */
  alpha: number;
  architecture?: string;
  /** What the file says that it was trained on. */
  trainedOn?: string;
  /** Replaces or adds metadata; null leaves an entry out. */
  entries?: Record<string, GgufEntry | null>;
  /** Changes the tensors before they are written. */
  tensors?: (tensors: AdapterTensor[]) => AdapterTensor[];
}

export interface AdapterTensor {
  name: string;
  /** Fastest dimension first. */
  shape: number[];
  values: Float32Array;
}

export const textEntry = (key: string, text: string): GgufEntry => ({
  key,
  type: stringType,
  value: stringBytes(text),
});
export const floatEntry = (key: string, value: number): GgufEntry => ({
  key,
  type: float32Type,
  value: float32Bytes(value),
});

const matrixName = /^blk\.\d+\.(attn_(q|k|v|output)|ffn_(gate|up|down))\.weight$/;

/** The matrices of the layers in which a tuned model differs from what it was: tuned − before. */
export function changeOf(before: string, tuned: string): Matrix[] {
  const [old, now] = [matricesOf(readGguf(before)), matricesOf(readGguf(tuned))];
  return old
    .filter(({ name }) => matrixName.test(name))
    .map((matrix) => {
      const other = now.find(({ name }) => name === matrix.name)!;
      return { ...matrix, values: other.values.map((value, index) => value - matrix.values[index]!) };
    });
}

/** Writes an adapter whose product is a change, exactly: one factor is the change, the other the identity. */
export function writeAdapter(to: string, change: readonly Matrix[], options: AdapterOptions): void {
  const { alpha, architecture = "llama", trainedOn, entries = {}, tensors } = options;
  const pairs = change.flatMap(({ name, columns, rows, values }): AdapterTensor[] => {
    const rank = Math.min(columns, rows);
    const scaled = values.map((value) => (value * rank) / alpha);
    const identity = Float32Array.from({ length: rank * rank }, (_, at) => (at % (rank + 1) === 0 ? 1 : 0));
    const [a, b] = columns <= rows ? [identity, scaled] : [scaled, identity];
    return [
      { name: `${name}.lora_a`, shape: [columns, rank], values: a },
      { name: `${name}.lora_b`, shape: [rank, rows], values: b },
    ];
  });
  const metadata: Record<string, GgufEntry | null> = {
    "general.architecture": textEntry("general.architecture", architecture),
    "general.type": textEntry("general.type", "adapter"),
    "adapter.type": textEntry("adapter.type", "lora"),
    "adapter.lora.alpha": floatEntry("adapter.lora.alpha", alpha),
    ...(trainedOn !== undefined && {
      "general.base_model.0.name": textEntry("general.base_model.0.name", trainedOn),
    }),
    ...entries,
  };
  saveTensors(
    to,
    { version: 3, entries: Object.values(metadata).filter((entry) => entry !== null) },
    tensors?.(pairs) ?? pairs,
  );
}

/** Writes a model with float32 matrices to which a change is added, times a factor; 0: a plain copy in float32. */
export function writeMerged(from: string, to: string, change: readonly Matrix[], factor: number): void {
  const parts = readGguf(from);
  const tensors = parts.tensors.map((tensor): AdapterTensor => {
    const values = valuesOf(parts, tensor);
    const added = change.find(({ name }) => name === tensor.name)?.values;
    return {
      name: tensor.name,
      shape: tensor.shape.map(Number),
      values: added === undefined ? values : values.map((value, index) => value + factor * added[index]!),
    };
  });
  saveTensors(to, parts, tensors);
}

function saveTensors(
  to: string,
  { version, entries }: Pick<GgufParts, "version" | "entries">,
  tensors: readonly AdapterTensor[],
): void {
  let offset = 0;
  const data: Buffer[] = [];
  const placed = tensors.map(({ name, shape, values }) => {
    const at = offset;
    const padding = (alignment - (values.byteLength % alignment)) % alignment;
    data.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength), Buffer.alloc(padding));
    offset += values.byteLength + padding;
    return { name, shape: shape.map(BigInt), type: float32Tensor, offset: BigInt(at) };
  });
  saveGguf(to, { version, entries, tensors: placed, data: Buffer.concat(data) });
}

function matricesOf(parts: GgufParts): Matrix[] {
  return parts.tensors
    .filter(({ shape }) => shape.length === 2)
    .map((tensor) => {
      const [columns = 1, rows = 1] = tensor.shape.map(Number);
      return { name: tensor.name, columns, rows, values: valuesOf(parts, tensor) };
    });
}

function valuesOf({ data }: GgufParts, { shape, type, offset }: GgufParts["tensors"][number]): Float32Array {
  const length = shape.map(Number).reduce((product, each) => product * each, 1);
  const at = Number(offset);
  if (type === float32Tensor)
    return Float32Array.from({ length }, (_, index) => data.readFloatLE(at + 4 * index));
  if (type !== float16Tensor) throw new Error(`tensors of type ${type} are not read here`);
  return Float32Array.from({ length }, (_, index) => halfToNumber(data.readUInt16LE(at + 2 * index)));
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
