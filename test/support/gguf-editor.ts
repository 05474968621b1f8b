import { readFileSync, writeFileSync } from "node:fs";

/** Changes the header of a GGUF file that exists, whatever model it is, so that tests have more than this project writes. */

const typeBytes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const stringType = 8;
const arrayType = 9;
const alignment = 32;

export interface GgufEntry {
  key: string;
  /** GGUF's number of the type. */
  type: number;
  /** As the file has it, after the type. */
  value: Buffer;
}

export interface GgufTensorEntry {
  name: string;
  shape: bigint[];
  type: number;
  offset: bigint;
}

export interface GgufParts {
  version: number;
  entries: GgufEntry[];
  tensors: GgufTensorEntry[];
  data: Buffer;
}

export function readGguf(path: string): GgufParts {
  const file = readFileSync(path);
  let at = 4;
  const uint32 = () => file.readUInt32LE((at += 4) - 4);
  const uint64 = () => file.readBigUInt64LE((at += 8) - 8);
  const text = () => {
    const length = Number(uint64());
    return file.toString("latin1", at, (at += length));
  };
  const skip = (type: number): void => {
    if (type === stringType) text();
    else if (type === arrayType) {
      const element = uint32();
      const count = Number(uint64());
      for (let index = 0; index < count; index++) skip(element);
    } else at += typeBytes[type] as number;
  };
  const version = uint32();
  const numTensors = Number(uint64());
  const numEntries = Number(uint64());
  const entries = Array.from({ length: numEntries }, (): GgufEntry => {
    const key = text();
    const type = uint32();
    const start = at;
    skip(type);
    return { key, type, value: file.subarray(start, at) };
  });
  const tensors = Array.from({ length: numTensors }, (): GgufTensorEntry => {
    const name = text();
    const shape = Array.from({ length: uint32() }, uint64);
    return { name, shape, type: uint32(), offset: uint64() };
  });
  return { version, entries, tensors, data: file.subarray(Math.ceil(at / alignment) * alignment) };
}

export function saveGguf(path: string, { version, entries, tensors, data }: GgufParts): void {
  const parts = [
    Buffer.from("GGUF"),
    uint32Bytes(version),
    uint64Bytes(tensors.length),
    uint64Bytes(entries.length),
  ];
  for (const { key, type, value } of entries) parts.push(stringBytes(key), uint32Bytes(type), value);
  for (const { name, shape, type, offset } of tensors)
    parts.push(
      stringBytes(name),
      uint32Bytes(shape.length),
      ...shape.map(uint64Bytes),
      uint32Bytes(type),
      uint64Bytes(offset),
    );
  const header = Buffer.concat(parts);
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  writeFileSync(path, Buffer.concat([header, padding, data]));
}

/** The file with one text of its metadata changed or added. */
export function withText(from: string, to: string, key: string, text: string): void {
  const parts = readGguf(from);
  const entry: GgufEntry = { key, type: stringType, value: stringBytes(text) };
  saveGguf(to, { ...parts, entries: [...parts.entries.filter((other) => other.key !== key), entry] });
}

export function uint32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64Bytes(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function float32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

export function stringBytes(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([uint64Bytes(bytes.length), bytes]);
}

const controlType = 3;

/** The parts with tokens of the vocabulary called otherwise, which are control tokens then. */
export function withControlTokens(parts: GgufParts, names: ReadonlyMap<number, string>): GgufParts {
  const entries = parts.entries.map((entry): GgufEntry => {
    if (entry.key === "tokenizer.ggml.token_type") {
      const value = Buffer.from(entry.value);
      for (const token of names.keys()) value.writeInt32LE(controlType, 12 + 4 * token);
      return { ...entry, value };
    }
    if (entry.key !== "tokenizer.ggml.tokens") return entry;
    const texts = textsOf(entry.value).map((text, token) => {
      const name = names.get(token);
      return name === undefined ? text : stringBytes(Buffer.from(name, "utf8").toString("latin1"));
    });
    return { ...entry, value: Buffer.concat([entry.value.subarray(0, 12), ...texts]) };
  });
  return { ...parts, entries };
}

/** The texts of an array, each with its length. */
function textsOf(array: Buffer): Buffer[] {
  // Type of the elements and their number come first.
  const texts: Buffer[] = [];
  for (let at = 12; at < array.length;) {
    const start = at;
    at += 8 + Number(array.readBigUInt64LE(at));
    texts.push(array.subarray(start, at));
  }
  return texts;
}
