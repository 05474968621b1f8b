import {
  float32Tensor,
  int32Tensor,
  mostDimensions,
  notForMatrices,
  tensorNameLimit,
  tensorTypes,
} from "./gguf-format.js";
import { GgufProblem, type GgufReader } from "./gguf-reader.js";

export interface GgufTensor {
  name: string;
  /** Lengths of its dimensions, the fastest first. */
  shape: readonly number[];
  /** The number of its type. */
  type: number;
  elements: number;
  bytes: number;
}

/** @returns all tensors; every one lies inside the file. */
export function checkTensors(reader: GgufReader, numTensors: number, alignment: number): GgufTensor[] {
  let last = { name: "", end: 0n };
  const tensors: GgufTensor[] = [];
  for (let index = 0; index < numTensors; index++) {
    const name = reader.string(`the name of tensor ${index}`, tensorNameLimit - 1);
    if (name === null) throw new GgufProblem(`is corrupt: the name of tensor ${index} is too long`);
    const { shape, type, elements, bytes } = readTensorType(reader, name);
    const end = reader.uint64(`the offset of tensor ${name}`) + bytes;
    if (end > last.end) last = { name, end };
    tensors.push({ name, shape, type, elements: Number(elements), bytes: Number(bytes) });
  }
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const needed = BigInt(dataStart) + last.end;
  if (numTensors > 0 && needed > BigInt(reader.fileBytes))
    throw new GgufProblem(
      `is truncated: it has ${reader.fileBytes} bytes, and tensor ${last.name} ends at byte ${needed}; ` +
        `download or copy it again`,
    );
  return tensors;
}

interface ReadTensor {
  shape: number[];
  type: number;
  elements: bigint;
  bytes: bigint;
}

function readTensorType(reader: GgufReader, name: string): ReadTensor {
  const numDimensions = reader.uint32(`the dimensions of tensor ${name}`);
  if (numDimensions > mostDimensions)
    throw new GgufProblem(`is corrupt: tensor ${name} has ${numDimensions} dimensions`);
  const lengths = Array.from({ length: numDimensions }, () => reader.uint64(`the shape of tensor ${name}`));
  const elements = lengths.reduce((product, length) => product * length, 1n);
  const [rowLength = 1n] = lengths;
  const type = reader.uint32(`the type of tensor ${name}`);
  checkTensorType(name, type, numDimensions);
  const block = tensorTypes[type];
  if (!block) throw new GgufProblem(`has tensor ${name} of type ${type}, which this llama.cpp cannot read`);
  const [blockElements, blockBytes] = block;
  if (elements === 0n || rowLength % BigInt(blockElements) !== 0n)
    throw new GgufProblem(`is corrupt: tensor ${name} has rows of ${rowLength} elements`);
  return {
    shape: lengths.map(Number),
    type,
    elements,
    bytes: (elements / BigInt(blockElements)) * BigInt(blockBytes),
  };
}

/** Each decode would end the process: libllama loads any type for any tensor, and has no code for most of them. */
function checkTensorType(name: string, type: number, numDimensions: number): void {
  const isAdded = /norm\.(weight|bias)$|\.bias$/.test(name);
  const isTable = type === int32Tensor && /tid2eid/.test(name);
  const isWrong =
    !isTable && (isAdded || numDimensions <= 1 ? type !== float32Tensor : notForMatrices.includes(type));
  if (isWrong && tensorTypes[type])
    throw new GgufProblem(`is corrupt: tensor ${name} is of type ${type}, which no model has there`);
}
