import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import path from "node:path";
import {
  encodeHeader,
  randomLlama,
  type GgufContent,
  type GgufTensor,
  type RandomLlamaOptions,
} from "../test/support/gguf-writer.js";
import { createQuantizer } from "../test/support/quantize.js";
import { toFloat16 } from "./support/float16.js";
import { makeNormal, makeRandom } from "./support/rows.js";

/**
 * The bench family: models of a real size with random weights and one vocabulary, made on demand beside git.
 * Embeddings are tied to the output matrix, as in real models of these sizes, so that a decode reads all of a
 * file. Speed depends on sizes alone; only the rows of logits are made to look like those of a trained model.
 */

export const vocabularySize = 151_936;
/** Layouts of files that were made before this one changed are not taken for it. */
const version = 2;
/** Every so many ids is a frequent token, whose logits spread wide; the first ids are control tokens and bytes. */
const headStride = 297;
const firstHead = 2 * headStride;
/** Standard deviation of logits over the frequent tokens (about 500) and over the rest. */
const headSpread = 8;
const tailSpread = 2.5;
/** An expert's output matrix is the reference's plus noise of this share of it. */
const expertNoise = 0.15;

export const rowsText =
  `logits N(0, ${tailSpread}) over the vocabulary and N(0, ${headSpread}) over every ${headStride}th token; ` +
  `experts' shifts N(0, ${expertNoise} of these)`;

export interface Size {
  embedding: number;
  layers: number;
  heads: number;
  feedForward: number;
}

export const baseSize: Size = { embedding: 1024, layers: 11, heads: 16, feedForward: 2816 };
export const smallSize: Size = { embedding: 256, layers: 14, heads: 4, feedForward: 704 };
/** A sixtieth of the base. ggml's float16 product of a row takes 64 numbers at a time, and these 32 one by one. */
const tinySize: Size = { embedding: 32, layers: 2, heads: 2, feedForward: 88 };

export interface Member {
  size: Size;
  seed: number;
  /** Whose noise is added to the output matrix; null: none. */
  noiseSeed: number | null;
  /**
   * What its output matrix is multiplied by: logits spread so much wider. It is then another matrix than the embeddings,
   * for a model that has one for both and is sure mostly repeats its last token.
   */
  sharpness?: number;
}

/** With this an expert's best token has ten times the probability of the next in about three of four rows of its texts. */
const sure = 3.5;
/** With this, and at least its whole shift, its best token is nine times in ten the fused row's, over all tokens. */
const loud = 36;

const members = {
  base: { size: baseSize, seed: 1, noiseSeed: null },
  reference: { size: smallSize, seed: 2, noiseSeed: null },
  "expert-1": { size: smallSize, seed: 2, noiseSeed: 3 },
  "expert-2": { size: smallSize, seed: 2, noiseSeed: 4 },
  "sure-expert": { size: smallSize, seed: 2, noiseSeed: 3, sharpness: sure },
  "loud-expert": { size: smallSize, seed: 2, noiseSeed: 3, sharpness: loud },
  "tiny-reference": { size: tinySize, seed: 5, noiseSeed: null },
  "tiny-sure-expert": { size: tinySize, seed: 5, noiseSeed: 6, sharpness: sure },
} satisfies Record<string, Member>;

export type MemberName = keyof typeof members;
/** The members that every bench but that of speculation knows. */
export const memberNames: readonly MemberName[] = ["base", "reference", "expert-1", "expert-2"];

export const folder = path.join(import.meta.dirname, "models");

/** Types of weights that the family is also made in. */
export type WeightType = "F16" | "Q8_0" | "Q4_K_M";

export function familyPath(name: MemberName, type: WeightType = "F16"): string {
  return path.join(folder, `bench-${name}-v${version}${type === "F16" ? "" : `-${type}`}.gguf`);
}

/** The same, quantized by libllama, which has to be open. */
export function quantizeFamily(names: readonly MemberName[], type: Exclude<WeightType, "F16">): void {
  makeFamily(names);
  const quantize = createQuantizer();
  for (const name of names) {
    const file = familyPath(name, type);
    if (existsSync(file)) continue;
    quantize(familyPath(name), `${file}.part`, type);
    renameSync(`${file}.part`, file);
  }
}

/** Writes the files that are not there yet: the same bytes in every run. */
export function makeFamily(names = memberNames): void {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const file = familyPath(name);
    if (existsSync(file)) continue;
    writeMember(`${file}.part`, name);
    renameSync(`${file}.part`, file);
  }
}

function writeMember(file: string, name: MemberName): void {
  const member: Member = members[name];
  const options: Partial<RandomLlamaOptions> = {
    ...member.size,
    vocabularySize,
    contextTrain: 4096,
    addsBos: false,
    name: `bench ${name}`,
  };
  const isHead = (token: number) => token >= firstHead && token % headStride === 0;
  writeModel(file, randomLlama(options), { ...member, isHead });
}

/** A model of the llama architecture with the family's weights. */
export function writeModel(file: string, content: GgufContent, member: Member & Head): void {
  const tied: GgufContent = {
    ...content,
    tensors: content.tensors.filter(
      (tensor) => member.sharpness !== undefined || tensor.name !== "output.weight",
    ),
  };
  const output = openSync(file, "w");
  try {
    writeSync(output, encodeHeader(tied));
    for (const tensor of tied.tensors) writeTensor(output, tensor, member);
  } finally {
    closeSync(output);
  }
}

/** A prime, so that no two rows of a matrix begin at the same place of the pool. */
const poolLength = 4_194_301;

interface Head {
  /** Whether a token is a frequent one. */
  isHead: (token: number) => boolean;
}

function writeTensor(
  output: number,
  tensor: GgufTensor,
  { seed, noiseSeed, sharpness, isHead }: Member & Head,
): void {
  const numValues = tensor.shape.reduce((product, length) => product * length, 1);
  if (tensor.type === "f32") {
    writePadded(output, Buffer.from(new Float32Array(numValues).fill(1).buffer));
    return;
  }
  const [columns = 0, rows = 0] = tensor.shape;
  const isApart = sharpness !== undefined;
  if (tensor.name === (isApart ? "output.weight" : "token_embd.weight")) {
    // The last norm leaves a vector of length √columns: logits get the spread asked for.
    const spread = (value: number) => ((sharpness ?? 1) * value) / Math.sqrt(columns);
    const tail = pool({ seed, noiseSeed, spread: spread(tailSpread) });
    const head = pool({ seed, noiseSeed, spread: spread(headSpread) });
    writeRows(output, rows, columns, (token) => (isHead(token) ? head : tail));
  } else {
    // Layers are the same in the reference and its experts.
    const isInput = tensor.name === "token_embd.weight";
    const values = pool({
      seed: isInput ? seed + 100 : seed,
      noiseSeed: null,
      spread: 1 / Math.sqrt(columns),
    });
    writeRows(output, rows, columns, () => values);
  }
}

/** Rows of a matrix, one after the other out of a pool of values that begins again at its end. */
function writeRows(
  output: number,
  rows: number,
  columns: number,
  poolOf: (row: number) => Uint16Array,
): void {
  const rowsAtOnce = Math.max(1, Math.floor((1 << 21) / columns));
  let at = 0;
  for (let from = 0; from < rows; from += rowsAtOnce) {
    const numRows = Math.min(rowsAtOnce, rows - from);
    const block = new Uint16Array(numRows * columns);
    for (let row = 0; row < numRows; row++) {
      block.set(poolOf(from + row).subarray(at, at + columns), row * columns);
      at = (at + columns) % poolLength;
    }
    writePadded(output, Buffer.from(block.buffer));
  }
}

function writePadded(output: number, bytes: Buffer): void {
  writeSync(output, bytes);
  writeSync(output, Buffer.alloc((32 - (bytes.length % 32)) % 32));
}

interface PoolOptions {
  seed: number;
  noiseSeed: number | null;
  spread: number;
}

const pools = new Map<string, Uint16Array>();

/** Float16 numbers N(0, spread), with noise added where a seed of it is given. One row longer than its period. */
function pool(options: PoolOptions): Uint16Array {
  const key = JSON.stringify(options);
  const known = pools.get(key);
  if (known !== undefined) return known;
  const { seed, noiseSeed, spread } = options;
  const normal = makeNormal(makeRandom(seed));
  const noise = noiseSeed === null ? () => 0 : makeNormal(makeRandom(noiseSeed));
  const values = new Uint16Array(poolLength + 4096);
  for (let index = 0; index < poolLength; index++)
    values[index] = toFloat16(spread * (normal() + expertNoise * noise()));
  values.copyWithin(poolLength, 0, 4096);
  pools.set(key, values);
  return values;
}
