/** A schema of 3 KB with a value that may be looked at in 2^40 ways, and fits none. */
export const doublingSchema = {
  type: "object",
  properties: { a: { const: 5, $ref: "#/$defs/d0" } },
  $defs: {
    ...Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => {
        const next = { $ref: `#/$defs/d${index + 1}` };
        return [`d${index}`, { anyOf: [next, { type: "integer", ...next }] }];
      }),
    ),
    d40: { minimum: 100 },
  },
};
