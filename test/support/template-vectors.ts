import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

interface TemplateVectors {
  /** Template name to its text: llama.cpp's models/templates. */
  templates: Record<string, string>;
  /** What a template gets, beside `bos_token` and `eos_token`. */
  chats: Record<string, { messages: object[]; [name: string]: unknown }>;
  /** By template and chat; null: jinja2 refuses. */
  rendered: Record<string, Record<string, string | null>>;
  values: Record<string, unknown>;
  /** Templates over `values`, and what jinja2 makes of them. */
  snippets: Record<string, string | null>;
}

const file = new URL("../vectors/templates.json.gz", import.meta.url);

/** What `test/vectors/templates.py` made. */
export const templateVectors = JSON.parse(gunzipSync(readFileSync(file)).toString()) as TemplateVectors;

export const chatTemplates = Object.entries(templateVectors.templates);
