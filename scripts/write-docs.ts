import { readFileSync, writeFileSync } from "node:fs";
import { fusionConfigJsonSchema, replaceSection, schemaPath } from "./generated-docs.js";
import { allSections } from "./results.js";

/** `npm run docs`: writes every generated section of the documentation, and the fusion configs' JSON Schema. */
writeFileSync(schemaPath, await fusionConfigJsonSchema());
for (const { file, name, content } of await allSections())
  writeFileSync(file, await replaceSection(readFileSync(file, "utf8"), name, content));
