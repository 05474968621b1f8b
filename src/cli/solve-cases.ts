import { z } from "zod";
import { ShouldersError, type ErrorCode } from "../errors.js";
import type { KernelName } from "../fusion/kernel/kernel.js";
import { type KernelFor, makeKernelPool } from "../fusion/kernel/pool.js";
import type { Divergence, SolverName, TokenLogprob } from "../fusion/types.js";
import { defaultBounds, fuseDynamic } from "../strategies/dynamic.js";

/**
 * A logit. JSON has no −Infinity, so a masked token is written "-Infinity". NaN, Infinity and null (which is
 * what JavaScript writes for them) are read as what they stand for, so that the row gets the kernel's error.
 */
const logit = z.union([
  z.number(),
  z.literal(["-Infinity", "Infinity", "NaN"]).transform(Number),
  z.null().transform(() => NaN),
  // JSON.parse reads 1e999 as Infinity, which z.number() refuses.
  z.custom<number>((value) => value === Infinity || value === -Infinity),
]);
const row = z.array(logit).min(1);
const bounds = z
  .tuple([z.number(), z.number()])
  .refine(([low, high]) => low <= high, "the first bound must not be above the second");

/** One case. Other keys, such as the expected results in a file of test vectors, are left alone. */
const caseSchema = z
  .object({
    name: z.string(),
    base: row,
    reference: row,
    experts: z.array(row).min(1),
    /** One pair for all experts, or one for each. */
    bounds: z.union([bounds, z.array(bounds)]).default([...defaultBounds]),
  })
  .refine(({ experts, bounds }) => !isPerExpert(bounds) || bounds.length === experts.length, {
    path: ["bounds"],
    error: "give one pair of bounds for all experts or one for each",
  });

type Bounds = z.infer<typeof bounds>;

function isPerExpert(value: Bounds | Bounds[]): value is Bounds[] {
  return Array.isArray(value[0]) || value.length === 0;
}

export interface SolveOptions {
  solver: SolverName;
  kernel: KernelName;
}

/** What is printed for a case: one JSON line. */
export type SolveResult =
  | {
      name: string;
      /** J at the solution, nats². */
      objective: number;
      /** Index of the expert that was moved, null where none was. */
      expert: number | null;
      weights: number[];
      forward: number;
      reverse: number;
      targets: Divergence[];
      fusedTop: TokenLogprob[];
      evaluations: number;
    }
  | { name: string | null; error: { code: ErrorCode; message: string } };

const numTop = 10;

/**
 * The `solve` command: reads cases as JSON lines (one at a time) or as a JSON array (held whole) and writes one
 * line for each. A bad case gets an error and the rest go on; the result is the exit status, 1 if any was bad.
 */
export async function runSolve(
  input: AsyncIterable<string> | string,
  options: SolveOptions,
  write: (line: string) => void,
): Promise<0 | 1> {
  const kernels = makeKernelPool(options.kernel);
  let exitCode: 0 | 1 = 0;
  for await (const text of splitCases(input)) {
    const result = solveCase(text, options.solver, kernels);
    if ("error" in result) exitCode = 1;
    write(`${JSON.stringify(result)}\n`);
  }
  return exitCode;
}

/** The unparsed cases, or the elements of an array that was parsed as a whole. */
async function* splitCases(input: AsyncIterable<string> | string): AsyncGenerator {
  let rest = "";
  let isArray: boolean | null = null;
  for await (const chunk of typeof input === "string" ? [input] : input) {
    rest += chunk;
    if (rest.trimStart() !== "") isArray ??= rest.trimStart().startsWith("[");
    if (isArray) continue;
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield parse(line);
  }
  if (rest.trim() === "") return;
  const last = parse(rest);
  if (isArray === true && Array.isArray(last)) yield* last;
  else yield last;
}

/** JSON, and the bare NaN and Infinity that Python's json module writes; what is neither becomes an error. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (first) {
    try {
      return JSON.parse(text.replace(/(?<=[[,\s])(-?Infinity|NaN)(?=[\],\s])/g, '"$1"'));
    } catch {
      return new ShouldersError("invalid_json", `Not JSON: ${(first as Error).message}`);
    }
  }
}

function solveCase(input: unknown, solver: SolverName, kernelFor: KernelFor): SolveResult {
  const named = input instanceof ShouldersError ? null : z.object({ name: z.string() }).safeParse(input);
  try {
    if (input instanceof ShouldersError) throw input;
    const parsed = caseSchema.safeParse(input);
    if (!parsed.success) throw new ShouldersError("invalid_request", describe(parsed.error));
    return solve(parsed.data, solver, kernelFor);
  } catch (thrown) {
    const { code, message } = ShouldersError.from(thrown);
    return { name: named?.data?.name ?? null, error: { code, message } };
  }
}

function describe(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue?.path.join(".") ?? "";
  return `${path === "" ? "The case" : path}: ${issue?.message ?? "not a case"}.`;
}

function solve(
  { name, base, reference, experts, bounds }: z.infer<typeof caseSchema>,
  solver: SolverName,
  kernelFor: KernelFor,
): SolveResult {
  const rows = {
    base: Float32Array.from(base),
    reference: Float32Array.from(reference),
    experts: experts.map((expert) => Float32Array.from(expert)),
  };
  const kernel = kernelFor(
    Math.min(...[base, reference, ...experts].map((row) => row.length)),
    experts.length,
  );
  const settings = {
    solver,
    bounds: isPerExpert(bounds) ? bounds : experts.map(() => bounds),
    plausibility: null,
  };
  const free = experts.map(() => Infinity);
  const fusion = fuseDynamic(kernel, rows, settings, free);
  return {
    name,
    objective: fusion.objective,
    expert: fusion.chosen,
    weights: fusion.weights,
    forward: fusion.divergence.forward,
    reverse: fusion.divergence.reverse,
    targets: fusion.targets,
    fusedTop: fusion.row.top(numTop),
    evaluations: fusion.evaluations,
  };
}
