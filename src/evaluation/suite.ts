import { mostConfigBytes, readTextFile } from "../config/read-text-file.js";
import path from "node:path";
import { z } from "zod";
import { checkValue, dottedPath, explainIssues } from "../config/explain-issues.js";
import { modelPath } from "../config/model-path.js";
import { modelSchema, type ModelSource } from "../config/model-source.js";
import { boundsSchema } from "../strategies/fields.js";
import { expandHome } from "../config/home-path.js";
import type { LoadedFusionConfig } from "../config/load.js";
import { parseWrittenText } from "../config/written-text.js";
import { formatNames } from "./tasks/formats.js";
import { type Target, targetSchema } from "./targets.js";
import { type TaskSource, taskName } from "./tasks/load-task.js";
import { invalid } from "./tasks/read-rows.js";
import { scorerFrom, scorerSchema } from "./tasks/task.js";

const id = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,39}$/,
    "use 1 to 40 of a-z, 0-9, '.', '_', '-', starting with a letter or digit",
  );

const models = z.record(id, modelSchema).default({});

const adapterSchema = z.strictObject({ adapter: modelPath });
type Adapter = z.output<typeof adapterSchema>;

const smallModels = z.record(id, z.union([modelSchema, adapterSchema])).default({});

const taskSchema = z.strictObject({
  name: id.optional().describe("Default: the file's name."),
  file: z.string().min(1).describe("Task file, relative to this one."),
  format: z.enum(formatNames).nullable().default(null).describe("A public form; null: the plain one."),
  scorer: scorerSchema.optional(),
  stop: z.array(z.string().min(1)).max(4).optional(),
  maxTokens: z.int().min(1).optional(),
  expert: id.optional().describe("Id of the expert tuned for this task: the right one."),
  examples: z.string().min(1).optional().describe("A file of the same form; its first 5 items are examples."),
});

/** One file that names every model by its role, and the tasks: what an evaluation of a whole family needs. */
const suiteSchema = z
  .strictObject({
    base: modelSchema.describe("The large model, never tuned."),
    reference: modelSchema.nullable().default(null).describe("The small model, untuned."),
    experts: smallModels.describe(
      "Expert id to the small model tuned for something, or { adapter } of the reference.",
    ),
    merged: models.describe("Name to an expert merged from the others (task arithmetic)."),
    tunedGiants: models.describe("Task name to the base tuned for it: the ceiling."),
    hardTuned: models.describe("Task name to an expert tuned for it until its shift is noise: the bad case."),
    alone: models.describe("Name to any other model, to be asked by itself."),
    bystanders: smallModels.describe(
      "Id to an expert tuned for none of the tasks, which should not disturb.",
    ),
    configs: z
      .array(z.string().min(1))
      .default([])
      .describe("Fusion configs to ask as they are written, relative to this file."),
    context: z
      .strictObject({ tokens: z.int().min(16).default(4096), sequences: z.int().min(1).max(256).default(8) })
      .prefault({}),
    methods: z
      .array(z.string().min(1))
      .min(1)
      .default(["*"])
      .describe("Which to ask; * stands for any letters."),
    tasks: z.array(taskSchema).min(1),
    targets: z.array(targetSchema).default([]).describe("Figures that should hold."),
  })
  .check(({ value, issues }) => {
    const problem = (path: (string | number)[], message: string): void => {
      issues.push({ code: "custom", input: value, path, message });
    };
    const experts = Object.keys(value.experts);
    const small = [value.experts, value.merged, value.hardTuned, value.bystanders].flatMap(Object.keys);
    if (value.reference === null && small.length > 0)
      problem(["reference"], "experts need the reference, the small model before tuning");
    for (const name of Object.keys(value.bystanders))
      if (experts.includes(name)) problem(["bystanders", name], "this is an expert's id");
    value.tasks.forEach(({ expert }, index) => {
      if (expert !== undefined && !experts.includes(expert))
        problem(["tasks", index, "expert"], `no such expert; known: ${experts.join(", ") || "none"}`);
    });
    const tasks = value.tasks.map(taskName);
    for (const [index, name] of tasks.entries())
      if (tasks.indexOf(name) < index) problem(["tasks", index], `two tasks are called "${name}"`);
    for (const role of ["tunedGiants", "hardTuned"] as const)
      for (const name of Object.keys(value[role]))
        if (!tasks.includes(name)) problem([role, name], `no such task; known: ${tasks.join(", ")}`);
  });

/** A tuned model, or an adapter of the reference; as a fusion config has it. */
export interface ExpertRole {
  id: string;
  model?: ModelSource;
  adapter?: string;
  scale?: number;
  bounds: readonly [number, number];
}

/** The models that methods are made of; paths are absolute. */
export interface Roles {
  base: ModelSource;
  reference: ModelSource | null;
  experts: ExpertRole[];
  bystanders: ExpertRole[];
  merged: Record<string, ModelSource>;
  tunedGiants: Record<string, ModelSource>;
  hardTuned: Record<string, ModelSource>;
  alone: Record<string, ModelSource>;
  context: { tokens: number; sequences: number };
}

export interface Suite {
  roles: Roles;
  /** Files of fusion configs. */
  configs: string[];
  /** Names of methods, or patterns of them. */
  methods: string[];
  tasks: TaskSource[];
  targets: Target[];
}

function absolutePath(model: string, file: string): string {
  if (/^(hf|huggingface|https?):/i.test(model)) return model;
  return path.resolve(path.dirname(file), expandHome(model));
}

function absolute(source: ModelSource, file: string): ModelSource {
  return { ...source, model: absolutePath(source.model, file) };
}

/** @throws ShouldersError `evaluation_invalid`, a line per problem: `file:line:column dotted.path: what to do`. */
export function parseSuite(text: string, file: string): Suite {
  const json = parseWrittenText(text, file);
  if (!json.ok) throw invalid(`${file}:${json.position.line}:${json.position.column}: ${json.message}`);
  const checked = checkValue(suiteSchema, json.value);
  if (!checked.isValid) {
    const lines = explainIssues(suiteSchema, json.value, checked.issues).map((problem) => {
      const { line, column } = json.positionOf(problem.path);
      return `${file}:${line}:${column} ${dottedPath(problem.path)}: ${problem.message}`;
    });
    throw invalid(lines.join("\n"));
  }
  const { tasks, targets, configs, methods, base, reference, ...given } = checked.data;
  const all = (named: Record<string, ModelSource>) =>
    Object.fromEntries(Object.entries(named).map(([name, source]) => [name, absolute(source, file)]));
  const asExperts = (named: Record<string, ModelSource | Adapter>): ExpertRole[] =>
    Object.entries(named).map(([expertId, source]) => ({
      id: expertId,
      ...("adapter" in source
        ? { adapter: absolutePath(source.adapter, file) }
        : { model: absolute(source, file) }),
      bounds: boundsSchema.parse([0, 2]),
    }));
  const beside = (name: string) => path.resolve(path.dirname(file), expandHome(name));
  return {
    roles: {
      base: absolute(base, file),
      reference: reference && absolute(reference, file),
      experts: asExperts(given.experts),
      bystanders: asExperts(given.bystanders),
      merged: all(given.merged),
      tunedGiants: all(given.tunedGiants),
      hardTuned: all(given.hardTuned),
      alone: all(given.alone),
      context: given.context,
    },
    configs: configs.map(beside),
    methods,
    tasks: tasks.map((task) => ({
      ...task,
      file: beside(task.file),
      scorer: task.scorer === undefined ? undefined : scorerFrom(task.scorer, path.dirname(file)),
      examples: task.examples === undefined ? undefined : beside(task.examples),
    })),
    targets,
  };
}

export function loadSuite(file: string): Suite {
  let text: string;
  try {
    text = readTextFile(file, mostConfigBytes);
  } catch (error) {
    throw invalid(
      `${file}: cannot be read (${error instanceof Error ? error.message : String(error)})`,
      error,
    );
  }
  return parseSuite(text, file);
}

const nameOf = ({ model, adapter, scale }: ExpertRole): string => `${adapter ?? model?.model} ${scale ?? 1}`;

/**
 * The models of several fusion configs as roles: their common base and reference, and all their experts.
 * @throws ShouldersError `evaluation_invalid` when they do not share base and reference.
 */
export function rolesOfConfigs(configs: readonly LoadedFusionConfig[]): Roles {
  const parts = configs.map(({ file, config }) => ({
    id: config.id,
    base: absolute(config.base, file),
    reference: config.reference && absolute(config.reference, file),
    experts: config.experts.map(({ id: expertId, model, adapter, scale, bounds }) => ({
      id: expertId,
      ...(model !== undefined && { model: absolute(model, file) }),
      ...(adapter !== undefined && { adapter: absolutePath(adapter, file) }),
      ...(scale !== undefined && { scale }),
      bounds,
    })),
    context: config.context,
  }));
  const [first] = parts;
  if (first === undefined) throw invalid("name at least one fusion config with --fusion");
  const reference = parts.find((part) => part.reference !== null)?.reference ?? null;
  const experts = new Map<string, ExpertRole>();
  for (const part of parts) {
    const sharesReference = part.reference === null || part.reference.model === reference?.model;
    if (part.base.model !== first.base.model || !sharesReference)
      throw invalid(
        `fusion configs "${first.id}" and "${part.id}" do not share base and reference, so no methods can be made ` +
          "of them together; name them one at a time, or leave --methods out",
      );
    for (const expert of part.experts) {
      const known = experts.get(expert.id);
      if (known !== undefined && nameOf(known) !== nameOf(expert))
        throw invalid(`expert "${expert.id}" is another model in fusion config "${part.id}"`);
      experts.set(expert.id, expert);
    }
  }
  const none = { bystanders: [], merged: {}, tunedGiants: {}, hardTuned: {}, alone: {} };
  return { base: first.base, reference, experts: [...experts.values()], ...none, context: first.context };
}
