import {
  float32Bytes,
  type GgufEntry,
  type GgufParts,
  type GgufTensorEntry,
  stringBytes,
  uint32Bytes,
} from "./gguf-editor.js";

/** A file with one value, type or shape of its header changed. */
export interface Mutant {
  what: string;
  parts: GgufParts;
}

const uint32Type = 4;
const int32Type = 5;
const float32Type = 6;
const stringType = 8;
const arrayType = 9;
const tensorTypes = [
  0, 1, 2, 3, 6, 7, 8, 9, 10, 14, 15, 20, 24, 25, 26, 27, 28, 30, 34, 39, 40, 41, 42, 43, 999,
];

function valuesFor({ key, type, value }: GgufEntry): GgufEntry[] {
  const withValues = (values: Buffer[]) => values.map((bytes) => ({ key, type, value: bytes }));
  switch (type) {
    case float32Type:
      return withValues([NaN, Infinity, -Infinity, -1, 0, 1e-30, 3e38].map(float32Bytes));
    case uint32Type: {
      const given = value.readUInt32LE(0);
      const numbers = [0, 1, given + 1, 2 * given, 2 ** 31, 2 ** 32 - 1, Math.floor(given / 2)];
      const others = [int32Type, float32Type].map((other) => ({ key, type: other, value }));
      return [...withValues(numbers.map((number) => uint32Bytes(number % 2 ** 32))), ...others];
    }
    case stringType:
      return [
        ...withValues(["", "x", "llama", "gpt2"].map(stringBytes)),
        { key, type: uint32Type, value: uint32Bytes(1) },
      ];
    case arrayType:
      return withValues([Buffer.concat([value.subarray(0, 4), Buffer.alloc(8)])]);
    default:
      return withValues([Buffer.alloc(value.length), Buffer.alloc(value.length, 1)]);
  }
}

/** Floating-point numbers that the file does not have, and that its architecture reads where they are. */
const added = [
  "attention.layer_norm_epsilon",
  "attention.group_norm_epsilon",
  "rope.freq_base",
  "rope.scaling.factor",
  "rope.scaling.attn_factor",
  "attention.scale",
  "attention.clamp_kqv",
  "attn_logit_softcapping",
  "final_logit_softcapping",
  "logit_scale",
  "residual_scale",
  "embedding_scale",
  "expert_weights_scale",
];

function shapesFor({ shape }: GgufTensorEntry): bigint[][] {
  const [columns = 1n, ...rows] = shape;
  return [
    [...shape].reverse(),
    [columns + 1n, ...rows],
    [2n * columns, ...rows],
    [columns / 2n, ...rows],
    [...shape, 2n],
    [1n],
    [],
  ];
}

/** Every change of a kind, at every entry and at a tensor of every kind: the first layer stands for all. */
export function mutantsOf(parts: GgufParts, architecture: string): Mutant[] {
  const { entries, tensors } = parts;
  const withEntry = (entry: GgufEntry): GgufParts => ({
    ...parts,
    entries: [...entries.filter(({ key }) => key !== entry.key), entry],
  });
  const withTensor = (tensor: GgufTensorEntry, changes: Partial<GgufTensorEntry>): GgufParts => ({
    ...parts,
    tensors: tensors.map((other) => (other === tensor ? { ...tensor, ...changes } : other)),
  });
  const mutants: Mutant[] = [];
  for (const entry of entries) {
    for (const changed of valuesFor(entry))
      mutants.push({
        what: `${entry.key} of type ${changed.type} is ${changed.value.subarray(0, 16).toString("hex")}`,
        parts: withEntry(changed),
      });
    mutants.push({
      what: `without ${entry.key}`,
      parts: { ...parts, entries: entries.filter((other) => other !== entry) },
    });
  }
  for (const name of added)
    for (const number of [NaN, Infinity, -1, 0])
      mutants.push({
        what: `${name} is ${number}`,
        parts: withEntry({ key: `${architecture}.${name}`, type: float32Type, value: float32Bytes(number) }),
      });
  for (const tensor of tensors.filter(({ name }) => !/^blk\.[1-9]/.test(name))) {
    const { name, offset } = tensor;
    for (const type of tensorTypes)
      mutants.push({ what: `${name} of type ${type}`, parts: withTensor(tensor, { type }) });
    for (const shape of shapesFor(tensor))
      mutants.push({ what: `${name} is [${shape.join(", ")}]`, parts: withTensor(tensor, { shape }) });
    mutants.push({ what: `${name} elsewhere`, parts: withTensor(tensor, { offset: offset + 1n }) });
    mutants.push({ what: `${name} by another name`, parts: withTensor(tensor, { name: `${name}x` }) });
  }
  return mutants;
}
