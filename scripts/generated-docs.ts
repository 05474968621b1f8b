import path from "node:path";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import { SCHEMA_FILE } from "../src/config/load.js";
import { describeSettings } from "../src/config/settings.js";

/** What the documentation's generated parts share; `npm run docs` writes them, tests compare. */

export const root = path.join(import.meta.dirname, "..");
export const readmePath = path.join(root, "README.md");
export const operationsPath = path.join(root, "docs", "operations.md");
export const architecturePath = path.join(root, "docs", "architecture.md");
export const schemaPath = path.join(root, "fusion-configs", SCHEMA_FILE);

const code = (text: string): string => `\`${text}\``;

export function settingsTable(): string {
  const rows = describeSettings().map((setting) =>
    [
      code(setting.flag),
      code(setting.variable),
      code(setting.name),
      setting.default === "" ? "" : code(setting.default),
      setting.allowed,
      setting.description,
    ].join(" | "),
  );
  const header = "Flag | Variable | In a file | Default | Values | What";
  return [header, "--- | --- | --- | --- | --- | ---", ...rows].map((row) => `| ${row} |`).join("\n");
}

/**
 * The text with everything between `<!-- begin NAME -->` and `<!-- end NAME -->` replaced, laid out by prettier as
 * the rest of the file is.
 */
export async function replaceSection(markdown: string, name: string, content: string): Promise<string> {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`];
  const from = markdown.indexOf(begin);
  const to = markdown.indexOf(end);
  if (from < 0 || to < from) throw new Error(`There is no section between "${begin}" and "${end}"`);
  const replaced = `${markdown.slice(0, from + begin.length)}\n\n${content}\n\n${markdown.slice(to)}`;
  return format(replaced, { ...(await resolveConfig(readmePath)), parser: "markdown" });
}

/** The JSON Schema that editors use: what a person may write, not what the program makes of it. */
export async function fusionConfigJsonSchema(): Promise<string> {
  const { $schema, ...schema } = z.toJSONSchema(fusionConfigSchema, { io: "input" });
  const titled = { $schema, title: "Shoulders fusion config", ...schema };
  return format(JSON.stringify(titled), { ...(await resolveConfig(schemaPath)), parser: "json" });
}
