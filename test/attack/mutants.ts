import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import {
  byteTokens,
  encodeHeader,
  randomLlama,
  writeGguf,
  type GgufContent,
} from "../support/gguf-writer.js";
import { root } from "../support/real-engine.js";

/** Model files with faults that a check may miss, and what becomes of those who load them and decode. */

export interface Mutant {
  name: string;
  write: (to: string) => void;
}

export interface Fate {
  name: string;
  outcome: "decoded" | "refused" | "died";
  /** What it was refused with, or how the process ended. */
  reason: string;
}

const chatTemplate =
  "{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}";
const whole = (): GgufContent => randomLlama({ chatTemplate, tokens: ["<bos>", "<eos>", ...byteTokens()] });

/** A value of the metadata replaced. */
const metadata = (key: string, type: "float32" | "uint32" | "int32", value: number): Mutant => ({
  name: `${key} = ${value}`,
  write: (to) => {
    const content = whole();
    content.metadata.set(key, { type, value });
    writeGguf(to, content);
  },
});

/** The type of a tensor replaced by another one, by its number. */
const tensorType = (name: string, type: number): Mutant => ({
  name: `${name} of type ${type}`,
  write: (to) => {
    writeGguf(to, whole());
    const file = readFileSync(to);
    const at = file.indexOf(name) + name.length;
    file.writeUInt32LE(type, at + 4 + 8 * file.readUInt32LE(at));
    writeFileSync(to, file);
  },
});

const oddNumbers = [NaN, Infinity, -Infinity, -1, 0, 1e38, 1e-45];
/** Small and large types among them; all are types that llama.cpp has. */
const types = [0, 1, 2, 6, 8, 10, 12, 14, 16, 20, 24, 30];

export const knownMutants: Mutant[] = [
  ...oddNumbers.flatMap((value) => [
    metadata("llama.attention.layer_norm_rms_epsilon", "float32", value),
    metadata("llama.attention.layer_norm_epsilon", "float32", value),
    metadata("llama.rope.freq_base", "float32", value),
    metadata("llama.rope.scaling.factor", "float32", value),
  ]),
  ...["head_count", "head_count_kv", "key_length", "value_length", "sliding_window"].flatMap((name) =>
    [0, 1, 3, 2 ** 31 - 1, 2 ** 32 - 1].map((value) => metadata(`llama.attention.${name}`, "uint32", value)),
  ),
  ...[
    "output_norm.weight",
    "blk.0.attn_norm.weight",
    "token_embd.weight",
    "output.weight",
    "blk.0.attn_q.weight",
  ].flatMap((name) => types.map((type) => tensorType(name, type))),
];

/** Headers with one to four bytes replaced, some of them cut. */
export function drawnMutants(seed: number, count: number): Mutant[] {
  const { length } = encodeHeader(whole());
  const fault = fc.record({
    at: fc.nat(length - 1),
    byte: fc.oneof(fc.constantFrom(0, 1, 127, 128, 255), fc.nat(255)),
  });
  return fc
    .sample(fc.array(fault, { minLength: 1, maxLength: 4 }), { seed, numRuns: count })
    .map((faults) => ({
      name: faults.map(({ at, byte }) => `byte ${at} = ${byte}`).join(", "),
      write: (to) => {
        writeGguf(to, whole());
        const file = readFileSync(to);
        for (const { at, byte } of faults) file[at] = byte;
        writeFileSync(to, file);
      },
    }));
}

const probe = fileURLToPath(new URL("./mutant-probe.mjs", import.meta.url));
/** Longest time for a whole turn: a file that is read without end is as bad as one that ends the process. */
const patienceMs = 60_000;

/** Loads each and decodes with it, in a process that is replaced when one ends it. */
export async function tryMutants(mutants: readonly Mutant[], folder: string): Promise<Fate[]> {
  const files = mutants.map(({ write }, index) => {
    const file = path.join(folder, `mutant-${index}.gguf`);
    write(file);
    return file;
  });
  const fates: Fate[] = [];
  while (fates.length < files.length) {
    const lines = await runProbe(files.slice(fates.length));
    for (const { outcome, reason } of lines)
      fates.push({ name: mutants[fates.length]!.name, outcome, reason });
  }
  return fates;
}

interface Line {
  outcome: "begun" | "decoded" | "refused";
  code?: string | null;
  message?: string;
}

async function runProbe(files: readonly string[]): Promise<Omit<Fate, "name">[]> {
  const child = spawn(process.execPath, [probe, ...files], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  let timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    clearTimeout(timer);
    timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  clearTimeout(timer);
  const lines = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
  const fates = lines
    .filter(({ outcome }) => outcome !== "begun")
    .map(({ outcome, code: refusal, message }): Omit<Fate, "name"> => ({
      outcome: outcome === "decoded" ? "decoded" : "refused",
      reason: outcome === "decoded" ? "" : `${refusal ?? "no code"}: ${message ?? ""}`,
    }));
  if (lines.at(-1)?.outcome === "begun")
    fates.push({ outcome: "died", reason: signal ?? `exit code ${code}` });
  if (fates.length === 0) throw new Error(`the probe of mutants did not start (${signal ?? code})`);
  return fates;
}
