import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "../support/real-engine.js";

/** Models of the shipped family as files with other metadata have them: other tokenizers and templates. */

const family = (name: string) => path.join(root, "models/family", `${name}.gguf`);
const alignment = 32;
const scalarBytes: Record<number, number> = {
  ...{ 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 },
};
const [stringType, arrayType] = [8, 9];

/** Copies a model of the family with texts among its metadata replaced, or added. */
export function writeVariant(name: string, to: string, texts: Record<string, string>): void {
  const file = readFileSync(family(name));
  const numTensors = Number(file.readBigUInt64LE(8));
  const numEntries = Number(file.readBigUInt64LE(16));
  const kept: Buffer[] = [];
  let at = 24;
  for (let entry = 0; entry < numEntries; entry++) {
    const start = at;
    const keyEnd = at + 8 + Number(file.readBigUInt64LE(at));
    const key = file.toString("utf8", at + 8, keyEnd);
    at = endOfValue(file, keyEnd + 4, file.readUInt32LE(keyEnd));
    if (!(key in texts)) kept.push(file.subarray(start, at));
  }
  const tensorsAt = at;
  for (let tensor = 0; tensor < numTensors; tensor++) {
    at += 8 + Number(file.readBigUInt64LE(at));
    at += 4 + 8 * file.readUInt32LE(at) + 4 + 8;
  }
  const added = Object.entries(texts).map(([key, text]) => {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(stringType);
    return Buffer.concat([ggufString(key), type, ggufString(text)]);
  });
  const head = Buffer.from(file.subarray(0, 24));
  head.writeBigUInt64LE(BigInt(kept.length + added.length), 16);
  const header = Buffer.concat([head, ...kept, ...added, file.subarray(tensorsAt, at)]);
  const padding = Buffer.alloc(aligned(header.length) - header.length);
  writeFileSync(to, Buffer.concat([header, padding, file.subarray(aligned(at))]));
}

const aligned = (bytes: number) => Math.ceil(bytes / alignment) * alignment;

function ggufString(text: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([length, Buffer.from(text)]);
}

function endOfValue(file: Buffer, at: number, type: number): number {
  if (type === stringType) return at + 8 + Number(file.readBigUInt64LE(at));
  if (type !== arrayType) return at + (scalarBytes[type] ?? NaN);
  const elementType = file.readUInt32LE(at);
  const length = Number(file.readBigUInt64LE(at + 4));
  let end = at + 12;
  for (let index = 0; index < length; index++) end = endOfValue(file, end, elementType);
  return end;
}
