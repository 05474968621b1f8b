import { readFileSync, writeFileSync } from "node:fs";
import {
  fusionConfigJsonSchema,
  readmePath,
  replaceSection,
  schemaPath,
  settingsTable,
} from "./generated-docs.js";

/** `npm run docs`: writes the README's table of settings and the fusion configs' JSON Schema from the zod schemas. */
writeFileSync(schemaPath, await fusionConfigJsonSchema());
const readme = readFileSync(readmePath, "utf8");
writeFileSync(readmePath, await replaceSection(readme, "settings", settingsTable()));
