import { ShouldersError } from "../errors.js";
import type { NativeMemory } from "./bindings.js";

/** Entries of a model file's header that a config replaces; the file stays as it is. */

/** A scalar or short string of a header. */
export type MetadataValue = string | number | bigint | boolean;

/** `enum llama_model_kv_override_type`. */
const kinds = { int: 0, float: 1, bool: 2, string: 3 } as const;

/** `struct llama_model_kv_override`: tag, char key[128], and a union of 8-byte numbers and char[128]. */
const layout = { bytes: 264, tag: 0, key: 4, value: 136 } as const;
const longestText = 127;

export interface MetadataOverride {
  key: string;
  kind: keyof typeof kinds;
  value: MetadataValue;
}

/** Of tokenizers' entries a file may lack these: libllama knows what they mean all the same. */
const known: Readonly<Record<string, "int" | "bool">> = {
  "tokenizer.ggml.bos_token_id": "int",
  "tokenizer.ggml.eos_token_id": "int",
  "tokenizer.ggml.eot_token_id": "int",
  "tokenizer.ggml.eom_token_id": "int",
  "tokenizer.ggml.add_bos_token": "bool",
  "tokenizer.ggml.add_space_prefix": "bool",
};

/**
 * What a config's `metadata` replaces in a header.
 *
 * @param typeOf GGUF's name of an entry's type; undefined: the file has no such entry
 * @throws ShouldersError `fusion_config_invalid`
 */
export function overridesOf(
  metadata: Readonly<Record<string, string | number | boolean>>,
  { path, architecture, typeOf }: { path: string; architecture: string; typeOf: ReadonlyMap<string, string> },
): MetadataOverride[] {
  return Object.entries(metadata).map(([key, value]) => {
    const fail = (reason: string) =>
      new ShouldersError("fusion_config_invalid", `metadata.${key} of ${path}: ${reason}.`, {
        param: "metadata",
      });
    if (!key.startsWith("tokenizer.ggml.") && !key.startsWith(`${architecture}.`))
      throw fail(`only entries of tokenizer.ggml and of ${architecture} can be replaced`);
    const type = typeOf.get(key);
    const kind = type === undefined ? known[key] : kindOf(type);
    if (kind === undefined) throw fail("the file has no such number, switch or text");
    const isRight =
      kind === "int"
        ? Number.isSafeInteger(value)
        : typeof value === { float: "number", bool: "boolean", string: "string" }[kind];
    if (!isRight) throw fail(`is of the type ${type ?? kind}, got ${JSON.stringify(value)}`);
    if (
      Buffer.byteLength(key) > longestText ||
      (typeof value === "string" && Buffer.byteLength(value) > longestText)
    )
      throw fail(`is longer than ${longestText} bytes`);
    return { key, kind, value };
  });
}

function kindOf(type: string): MetadataOverride["kind"] {
  if (type === "bool" || type === "string") return type;
  return type.startsWith("float") ? "float" : "int";
}

/** Bytes of the list that libllama reads: it ends with an empty key. */
export function overrideBytes(overrides: readonly MetadataOverride[]): number {
  return (overrides.length + 1) * layout.bytes;
}

/** Writes the list into zeroed memory of `overrideBytes`. */
export function writeOverrides(memory: NativeMemory, overrides: readonly MetadataOverride[]): void {
  const bytes = Buffer.from(memory.buffer);
  overrides.forEach(({ key, kind, value }, index) => {
    const at = index * layout.bytes;
    bytes.writeInt32LE(kinds[kind], at + layout.tag);
    bytes.write(key, at + layout.key);
    if (kind === "int") bytes.writeBigInt64LE(BigInt(value), at + layout.value);
    else if (kind === "float") bytes.writeDoubleLE(Number(value), at + layout.value);
    else if (kind === "bool") bytes.writeUInt8(value === true ? 1 : 0, at + layout.value);
    else bytes.write(String(value), at + layout.value);
  });
}
