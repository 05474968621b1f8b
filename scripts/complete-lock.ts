import { writeFileSync } from "node:fs";
import { completeLock, lockPath, readLock } from "./lockfile.js";

/** `npx tsx scripts/complete-lock.ts`, after `npm install` against a registry that lacks some platforms. */
writeFileSync(lockPath, `${JSON.stringify(completeLock(readLock()), null, 2)}\n`);
