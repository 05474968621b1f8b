import { z } from "zod";

/** The schemas that have a name of their own in the OpenAPI document. */
export const wireRegistry = z.registry<{ id: string }>();

/** Gives a schema its name in the OpenAPI document; it stays the same schema. */
export function named<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  wireRegistry.add(schema, { id });
  return schema;
}
