import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "./generated-docs.js";

/**
 * A package with native parts names one optional package a platform. Where a registry does not carry some of
 * them, `npm install` leaves them out of the lock file, and then `npm ci` refuses to run, here and on the
 * platforms that need them. These functions find what was left out and write it from its name.
 */

export const lockPath = path.join(root, "package-lock.json");

interface LockEntry {
  version: string;
  optionalDependencies?: Record<string, string>;
  dev?: boolean;
  [field: string]: unknown;
}

export interface Lock {
  packages: Record<string, LockEntry>;
  [field: string]: unknown;
}

export const readLock = (): Lock => JSON.parse(readFileSync(lockPath, "utf8")) as Lock;

interface LeftOut {
  name: string;
  version: string;
  isDev: boolean;
}

export function findLeftOut({ packages }: Lock): LeftOut[] {
  return Object.entries(packages).flatMap(([place, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !packages[`node_modules/${name}`] && !packages[`${place}/node_modules/${name}`])
      .map(([name, version]) => ({ name, version, isDev: entry.dev === true })),
  );
}

const wordToOs: Record<string, string> = { mac: "darwin", win: "win32" };

/** `@scope/resolver-binding-linux-arm-musleabihf` says system, processor and C library. */
function entryFor({ version, name, isDev }: LeftOut): LockEntry {
  const words = name.replace(/^.*\/(?:resolver-binding-)?/, "").split("-");
  const [system = "", processor = ""] = words;
  const libc = words.some((word) => word.startsWith("gnu"))
    ? ["glibc"]
    : words.some((word) => word.startsWith("musl"))
      ? ["musl"]
      : null;
  return {
    version,
    cpu: [processor],
    ...(isDev ? { dev: true } : {}),
    ...(libc ? { libc } : {}),
    optional: true,
    os: [wordToOs[system] ?? system],
  };
}

/** The lock file with an entry for every package that was left out, in npm's order. */
export function completeLock(lock: Lock): Lock {
  const added = findLeftOut(lock).map((leftOut): [string, LockEntry] => [
    `node_modules/${leftOut.name}`,
    entryFor(leftOut),
  ]);
  const packages = [...Object.entries(lock.packages), ...added].sort(([a], [b]) => a.localeCompare(b, "en"));
  return { ...lock, packages: Object.fromEntries(packages) };
}

/** Packages without a checksum, by name and version. */
export function findUnchecked({ packages }: Lock): string[] {
  return Object.entries(packages)
    .filter(([place, entry]) => place !== "" && !entry["integrity"])
    .map(([place, { version }]) => `${nameOf(place)}@${version}`);
}

const nameOf = (place: string) => place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);

/**
 * The lock file with the checksum of every package that has none and that `integrityOf` knows.
 * @param integrityOf null: the registry lacks the package
 */
export function withIntegrity(
  lock: Lock,
  integrityOf: (name: string, version: string) => string | null,
): Lock {
  const packages = Object.entries(lock.packages).map(([place, entry]): [string, LockEntry] => {
    const integrity = place === "" || entry["integrity"] ? null : integrityOf(nameOf(place), entry.version);
    if (integrity === null) return [place, entry];
    const { version, ...rest } = entry;
    return [place, { version, integrity, ...rest }];
  });
  return { ...lock, packages: Object.fromEntries(packages) };
}
