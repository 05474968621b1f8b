import { isObject, refuse, type JsonSchema } from "./json-schema.js";

/** A schema and where it stands. */
export interface Located {
  schema: unknown;
  /** Dotted, from the field of the request. */
  path: string;
  /** Its JSON pointer in the document: no other schema has it. What is left of one has marks (`~`) behind it. */
  key: string;
  /** Pointers of the schemas that led here without a step into the value: by `$ref`, or as a branch. */
  scope?: readonly string[];
}

/** The pointer of the schema that something is left of. */
export const pointerOf = (key: string): string => key.replaceAll(/~+(?=\/|$)/g, "");

/** Keywords that hold a schema, a list of them, or some by name. */
export const single = new Set(
  (
    "additionalItems additionalProperties contains contentSchema else if items not propertyNames then " +
    "unevaluatedItems unevaluatedProperties"
  ).split(" "),
);
export const lists = new Set(["allOf", "anyOf", "oneOf", "prefixItems", "items"]);
export const maps = new Set(["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"]);

const defaultBase = "schema:///root.json";

export function childOf({ schema, path, key }: Located, ...steps: readonly (string | number)[]): Located {
  let inner: unknown = schema;
  for (const step of steps)
    inner =
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, step)
        ? (inner as Record<string | number, unknown>)[step]
        : undefined;
  const escaped = steps.map((step) => String(step).replaceAll("~", "~0").replaceAll("/", "~1"));
  return { schema: inner, path: [path, ...steps].join("."), key: [key, ...escaped].join("/") };
}

/** Whether a schema has anything at a keyword. */
export function has({ schema }: Located, keyword: string): boolean {
  return isObject(schema) && Object.hasOwn(schema, keyword) && schema[keyword] !== undefined;
}

/** A schema of a request with all that is in it, and what its references mean. */
export class SchemaDocument {
  readonly root: Located;
  /** Schemas by their own addresses, with and without anchors. */
  readonly #addressed = new Map<string, Located>();
  readonly #baseOf = new Map<string, string>();
  readonly #dynamic = new Map<string, Located | null>();

  constructor(schema: unknown, path: string) {
    this.root = { schema, path, key: "#" };
    this.#baseOf.set("#", defaultBase);
    this.#addressed.set(defaultBase, this.root);
    this.#index(this.root, defaultBase);
  }

  /**
   * @param from the schema that holds the reference
   * @returns null: it points to nothing in this document
   */
  find(reference: string, from: Located): Located | null {
    let address: URL;
    try {
      address = new URL(reference, this.#base(from.key));
    } catch {
      return null;
    }
    const fragment = address.hash.slice(1);
    address.hash = "";
    const resource = this.#addressed.get(address.href);
    if (resource === undefined || fragment === "") return resource ?? null;
    if (!fragment.startsWith("/")) return this.#addressed.get(`${address.href}#${fragment}`) ?? null;
    return pointedAt(resource, fragment, from);
  }

  /** What a dynamic reference means where only one schema has the anchor; null: it depends on the way to it. */
  findDynamic(reference: string): Located | null {
    return this.#dynamic.get(reference.replace(/^[^#]*#/, "")) ?? null;
  }

  #base(key: string): string {
    for (let at = pointerOf(key); ; at = at.slice(0, at.lastIndexOf("/"))) {
      const base = this.#baseOf.get(at);
      if (base !== undefined) return base;
    }
  }

  #index(located: Located, outerBase: string): void {
    const { schema, key } = located;
    if (!isObject(schema)) return;
    const base = this.#baseWithin(schema, outerBase);
    if (base !== outerBase) {
      this.#baseOf.set(key, base);
      this.#addressed.set(base, located);
    }
    for (const keyword of ["$anchor", "$dynamicAnchor"])
      if (typeof schema[keyword] === "string") this.#addressed.set(`${base}#${schema[keyword]}`, located);
    const dynamic = schema["$dynamicAnchor"];
    if (typeof dynamic === "string") this.#dynamic.set(dynamic, this.#dynamic.has(dynamic) ? null : located);
    for (const inner of innerSchemas(located)) this.#index(inner, base);
  }

  #baseWithin(schema: JsonSchema, base: string): string {
    if (typeof schema["$id"] !== "string") return base;
    try {
      const address = new URL(schema["$id"], base);
      address.hash = "";
      return address.href;
    } catch {
      return base;
    }
  }
}

function pointedAt(resource: Located, pointer: string, from: Located): Located | null {
  let steps: string[];
  try {
    steps = decodeURIComponent(pointer).slice(1).split("/");
  } catch {
    throw refuse(`${from.path}.$ref`, "its escapes (%) are not UTF-8");
  }
  const found = childOf(resource, ...steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~")));
  return found.schema === undefined ? null : found;
}

function innerSchemas(located: Located): Located[] {
  return Object.entries(located.schema as JsonSchema).flatMap(([keyword, value]) => {
    if (lists.has(keyword) && Array.isArray(value))
      return value.map((_, index) => childOf(located, keyword, index));
    if (single.has(keyword)) return [childOf(located, keyword)];
    if (maps.has(keyword) && isObject(value))
      return Object.keys(value).map((name) => childOf(located, keyword, name));
    return [];
  });
}
