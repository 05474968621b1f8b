import { writeFileSync } from "node:fs";
import { measureFamilyScores, scoresPath } from "./family-scores.js";

/** `npm run build && npx tsx scripts/write-family-scores.ts`, after the models or the shipped fusion configs changed. */
const measured = measureFamilyScores();
writeFileSync(scoresPath, `${JSON.stringify(measured, null, 2)}\n`);
console.log(measured.scores);
