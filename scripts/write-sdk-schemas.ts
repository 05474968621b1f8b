import { writeFileSync } from "node:fs";
import path from "node:path";
import { createGenerator } from "ts-json-schema-generator";
import { sdkSchemasPath, sdkTypes, sdkVersions } from "../test/support/sdk-schemas.js";

/**
 * `npx tsx scripts/write-sdk-schemas.ts`, when a new version of an official SDK is installed: what it says that answers
 * are, as JSON schemas.
 */

const root = path.resolve(import.meta.dirname, "..");
const generator = createGenerator({
  path: path.join(root, "test/support/sdk-types.ts"),
  tsconfig: path.join(root, "tsconfig.json"),
  type: "*",
  // By their names, types of one SDK would be taken for those of another.
  expose: "none",
  topRef: false,
  jsDoc: "none",
  // Answers have what is ours beside what the SDKs know.
  additionalProperties: true,
  skipTypeCheck: true,
});

/** Schemas by their JSON, where it is long: each is written once. */
const shared = new Map<string, string>();
const definitions: Record<string, unknown> = {};

function share(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(share);
  if (typeof schema !== "object" || schema === null) return schema;
  const own = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, share(value)]));
  const text = JSON.stringify(own);
  // A field may be called so, too.
  const isSchema = typeof own["type"] === "string" || Array.isArray(own["anyOf"]);
  if (text.length < 120 || !isSchema) return own;
  const name = shared.get(text) ?? `shared-${shared.size}`;
  shared.set(text, name);
  definitions[name] = own;
  return { $ref: `#/definitions/${name}` };
}

for (const type of sdkTypes) {
  const schema = generator.createSchema(type);
  delete schema.$schema;
  definitions[type] = share(schema);
}
writeFileSync(sdkSchemasPath, `${JSON.stringify({ versions: sdkVersions(), definitions })}\n`);
