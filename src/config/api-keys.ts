import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { ShouldersError } from "../errors.js";
import { mostConfigBytes, readTextFile } from "./read-text-file.js";
import { flagOf, type Settings } from "./settings.js";

/** A key as the server keeps it: only its hash, so that neither memory nor a log can give it away. */
export interface ApiKey {
  /** Stands for the key in logs, metrics and traces. */
  name: string;
  sha256: Buffer;
  /** Sees the figures of every key in `/metrics`. Default: false. */
  isOperator?: boolean;
}

/** Keys as text, for places where a file is awkward; there is no flag, which every user of a machine could read. */
export const KEYS_VARIABLE = "SHOULDERS_API_KEYS";

const maxKeys = 1000;
const operatorMark = "operator:";
const nameFormat = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const keyFormat = /^[\x21-\x2b\x2d-\x7e]{16,256}$/;
const hashFormat = /^sha256:([0-9a-f]{64})$/;

/**
 * Reads `name=key` or `name=sha256:<hex of the key's hash>`, separated by commas or line breaks; `operator:` before
 * the name makes it an operator's, and a line that begins with # is a comment. Messages never repeat a key.
 * @throws ShouldersError `settings_invalid`, naming source and entry.
 */
export function parseApiKeys(text: string, source: string): ApiKey[] {
  const entries = text
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .flatMap((line) => line.split(","))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  const keys = entries.map((entry, index) => parseEntry(entry, `${source}, entry ${index + 1}`));
  if (keys.length === 0) throw invalid(source, "there is no key in it; write name=key, one a line");
  return keys;
}

function parseEntry(entry: string, source: string): ApiKey {
  const separator = entry.indexOf("=");
  const named = entry.slice(0, Math.max(0, separator));
  const isOperator = named.startsWith(operatorMark);
  const name = isOperator ? named.slice(operatorMark.length) : named;
  if (!nameFormat.test(name))
    throw invalid(source, "write name=key; a name is 1 to 64 of a-z, 0-9, '.', '_', '-'");
  const value = entry.slice(separator + 1);
  const hash = hashFormat.exec(value)?.[1];
  if (hash !== undefined) return { name, sha256: Buffer.from(hash, "hex"), isOperator };
  if (!keyFormat.test(value) || value.startsWith("sha256:"))
    throw invalid(
      source,
      `key "${name}" must be 16 to 256 ASCII characters without space and comma, or sha256: and 64 hex digits`,
    );
  return { name, sha256: hashOf(value), isOperator };
}

export function hashOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** The keys of the file and of the environment; none: nobody is asked for one. */
export function loadApiKeys(
  { apiKeysFile }: Settings,
  environment: Record<string, string | undefined>,
): ApiKey[] {
  const keys: ApiKey[] = [];
  if (apiKeysFile !== "") keys.push(...parseApiKeys(readKeysFile(apiKeysFile), apiKeysFile));
  const written = environment[KEYS_VARIABLE] ?? "";
  if (written !== "") keys.push(...parseApiKeys(written, KEYS_VARIABLE));
  if (keys.length > maxKeys) throw invalid("API keys", `at most ${maxKeys} are possible`);
  const names = keys.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid("API keys", `the name "${twice}" is used twice`);
  return keys;
}

function readKeysFile(file: string): string {
  try {
    return readTextFile(file, mostConfigBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(flagOf("apiKeysFile"), `the file cannot be read: ${reason}`);
  }
}

/** @throws ShouldersError where a network could reach a server that asks nobody for a key. */
export function requireKeysOnNetwork({ host, withoutKeys }: Settings, keys: readonly ApiKey[]): void {
  if (keys.length > 0 || withoutKeys === "anywhere" || isLoopback(host)) return;
  throw invalid(
    flagOf("host"),
    `${host} opens the server to a network and there are no API keys; give ${flagOf("apiKeysFile")} or ` +
      `${KEYS_VARIABLE}, or, where something else keeps strangers out, ${flagOf("withoutKeys")} anywhere`,
  );
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith("127.");
  return host === "::1" || host === "localhost";
}

function invalid(source: string, problem: string): ShouldersError {
  return new ShouldersError("settings_invalid", `${source}: ${problem}`);
}
