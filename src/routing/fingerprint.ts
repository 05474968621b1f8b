import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import path from "node:path";
import type { Fingerprint } from "./card.js";

const MiB = 2 ** 20;
/** Files up to this size are hashed whole. */
const wholeBytes = 16 * MiB;
const headBytes = 8 * MiB;
const numChunks = 128;
const chunkBytes = 64 * 1024;

/** Byte ranges that are hashed. */
function samplesOf(size: number): { start: number; length: number }[] {
  if (size <= wholeBytes) return [{ start: 0, length: size }];
  const gap = (size - headBytes - chunkBytes) / (numChunks - 1);
  const chunks = Array.from({ length: numChunks }, (_, index) => ({
    start: headBytes + Math.floor(index * gap),
    length: chunkBytes,
  }));
  return [{ start: 0, length: headBytes }, ...chunks];
}

/** All files of a model of which the first part is named: `…-00001-of-00003.gguf`. */
function partsOf(file: string): string[] {
  const match = /^(.*-)00001-of-(\d{5})\.gguf$/.exec(file);
  if (match === null) return [file];
  const [, stem = "", total = ""] = match;
  return Array.from(
    { length: Number(total) },
    (_, index) => `${stem}${String(index + 1).padStart(5, "0")}-of-${total}.gguf`,
  );
}

/**
 * Tells one model file from another in milliseconds, also at 140 GB: its size, and a SHA-256 of its first 8 MiB
 * (the GGUF header: metadata, vocabulary, chat template and the table of tensors) and of 128 chunks of 64 KiB evenly
 * spaced over the rest, the last of them at the end; up to 16 MiB everything is hashed. Another tuning, checkpoint or
 * quantisation changes nearly every block and is always detected; so is a truncated file. What is not: bytes changed
 * by hand between two chunks of a large file at the same size. It is a guard against mistakes, not against malice.
 */
export function fingerprintOf(file: string): Fingerprint {
  const hash = createHash("sha256");
  let bytes = 0;
  for (const part of partsOf(file)) {
    const { size } = statSync(part);
    bytes += size;
    const handle = openSync(part, "r");
    try {
      for (const { start, length } of samplesOf(size)) {
        const chunk = Buffer.alloc(length);
        readSync(handle, chunk, 0, length, start);
        hash.update(chunk);
      }
    } finally {
      closeSync(handle);
    }
  }
  return { file: path.basename(file), bytes, sha256: hash.digest("hex") };
}
