import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import {
  fusionConfigJsonSchema,
  operationsPath,
  replaceSection,
  schemaPath,
  settingsTable,
} from "../../scripts/generated-docs.js";
import { knownKeys } from "../../src/config/explain-issues.js";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { CARD_ENDING, SCHEMA_FILE } from "../../src/config/load.js";

describe("generated documentation (npm run docs)", () => {
  it("the table of settings in docs/operations.md is fresh", async () => {
    const text = readFileSync(operationsPath, "utf8");
    expect(await replaceSection(text, "settings", settingsTable())).toBe(text);
  });

  it("the JSON Schema of fusion configs is fresh", async () => {
    expect(readFileSync(schemaPath, "utf8")).toBe(await fusionConfigJsonSchema());
  });

  it("every shipped config points to it", () => {
    const directory = path.dirname(schemaPath);
    const isConfig = (file: string) => file !== SCHEMA_FILE && !file.endsWith(CARD_ENDING);
    for (const name of readdirSync(directory).filter(isConfig)) {
      const config = JSON.parse(readFileSync(path.join(directory, name), "utf8")) as { $schema?: string };
      expect(config.$schema, name).toBe(`./${SCHEMA_FILE}`);
    }
  });

  it("the JSON Schema knows the keys that the zod schema knows, allows no others, and describes each", () => {
    interface Node {
      properties?: Record<string, Node & { description?: string }>;
      additionalProperties?: unknown;
      anyOf?: Node[];
      oneOf?: Node[];
      items?: Node;
    }
    const schema = JSON.parse(readFileSync(schemaPath, "utf8")) as Node;
    expect(Object.keys(schema.properties ?? {})).toEqual(Object.keys(fusionConfigSchema.shape));
    expect(knownKeys(fusionConfigSchema, {}, ["experts", 0])).toEqual([
      "id",
      "model",
      "adapter",
      "scale",
      "bounds",
      "budget",
    ]);
    const walk = (node: Node): void => {
      if (node.properties) expect(node.additionalProperties).toBe(false);
      const inner = [...Object.values(node.properties ?? {}), ...(node.anyOf ?? []), ...(node.oneOf ?? [])];
      for (const child of node.items ? [...inner, node.items] : inner) walk(child);
    };
    walk(schema);
    for (const [name, property] of Object.entries(schema.properties ?? {}))
      expect(property.description, name).toBeTruthy();
  });
});
