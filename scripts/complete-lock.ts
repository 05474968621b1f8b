import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { completeLock, findUnchecked, lockPath, readLock, withIntegrity } from "./lockfile.js";

/** As npm's own client says it; null where the registry lacks the package. */
function integrityOf(name: string, version: string): string | null {
  const { status, stdout } = spawnSync("npm", ["view", `${name}@${version}`, "dist.integrity"], {
    encoding: "utf8",
  });
  const integrity = stdout.trim();
  return status === 0 && /^sha512-\S+$/.test(integrity) ? integrity : null;
}

/** `npx tsx scripts/complete-lock.ts`, after `npm install` against a registry that lacks some platforms. */
const lock = withIntegrity(completeLock(readLock()), integrityOf);
writeFileSync(lockPath, `${JSON.stringify(lock, null, 2)}\n`);
const unchecked = findUnchecked(lock);
if (unchecked.length > 0)
  console.warn(
    `No checksum, for this registry lacks them: ${unchecked.join(", ")}. npm takes them unchecked; run this again ` +
      `against a registry that has them.`,
  );
