import path from "node:path";
import { describe, expect, it } from "vitest";
import { parseFusionConfig } from "../../../src/config/load.js";
import { configuredMethods, deriveMethods, selectMethods } from "../../../src/evaluation/methods/methods.js";
import { loadSuite, parseSuite, rolesOfConfigs } from "../../../src/evaluation/suite.js";
import type { Task } from "../../../src/evaluation/tasks/task.js";

const written = {
  base: "giant.gguf",
  reference: "dwarf.gguf",
  experts: { recall: "dwarf-recall.gguf", problems: "hf:some/repository:Q8_0" },
  merged: { "merged-03": "dwarf-merged-03.gguf" },
  tunedGiants: { recall: "giant-recall.gguf" },
  hardTuned: { recall: "dwarf-recall-hard.gguf" },
  alone: { "giant-all": "giant-all.gguf" },
  bystanders: { spell: "dwarf-spell.gguf" },
  configs: ["../fusion-configs/all.json"],
  context: { tokens: 512 },
  tasks: [
    { file: "tasks/recall.jsonl", expert: "recall", examples: "tasks/recall-examples.jsonl" },
    { name: "words", file: "tasks/unseen.jsonl" },
  ],
};
const file = "/models/suite.json";
const parse = (value: unknown) => parseSuite(JSON.stringify(value, null, 2), file);

const task = (name: string, parts: Partial<Task> = {}): Task => ({
  name,
  expert: null,
  examples: [],
  items: [
    {
      prompt: { type: "chat", messages: [{ role: "user", content: "?" }] },
      answers: ["a"],
      choices: [],
      scorer: "exact",
      stop: [],
      maxTokens: 4,
      target: "a",
    },
  ],
  ...parts,
});

describe("parseSuite", () => {
  it.each(["models/suite.json", "test/data/starter/suite.json"])("takes %s", (shipped) => {
    expect(loadSuite(path.resolve(import.meta.dirname, "../../..", shipped)).tasks.length).toBeGreaterThan(1);
  });

  it("finds models and tasks beside the file", () => {
    const { roles, tasks } = parse(written);
    expect(roles.base.model).toBe(path.resolve("/models/giant.gguf"));
    expect(roles.experts.map(({ id, model }) => [id, model?.model])).toEqual([
      ["recall", path.resolve("/models/dwarf-recall.gguf")],
      ["problems", "hf:some/repository:Q8_0"],
    ]);
    expect(tasks[0]).toMatchObject({ file: "/models/tasks/recall.jsonl", format: null, expert: "recall" });
    expect(roles.context).toEqual({ tokens: 512, sequences: 8 });
    expect(roles.bystanders).toMatchObject([{ id: "spell", bounds: [0, 2] }]);
    expect(parse(written)).toMatchObject({ configs: ["/fusion-configs/all.json"], methods: ["*"] });
  });

  it("takes an adapter of the reference as an expert", () => {
    const adapted = {
      ...written,
      experts: { recall: { adapter: "lora.gguf" }, problems: { model: "problems.gguf" } },
    };
    const { roles } = parse({ ...adapted, bystanders: { spell: { adapter: "/spell.gguf" } } });
    expect(roles.experts).toMatchObject([
      { id: "recall", adapter: path.resolve("/models/lora.gguf"), bounds: [0, 2] },
      { id: "problems", model: { model: path.resolve("/models/problems.gguf") } },
    ]);
    expect(roles.bystanders).toMatchObject([{ id: "spell", adapter: "/spell.gguf" }]);
  });

  it.each<[string, object, RegExp]>([
    [
      "a misspelt key",
      { ...written, expert: {} },
      /suite\.json:\d+:\d+ expert: unknown key.*did you mean "experts"/,
    ],
    [
      "an expert that is not there",
      { ...written, tasks: [{ file: "t", expert: "x" }] },
      /tasks\.0\.expert: no such expert/,
    ],
    ["a tuned giant of no task", { ...written, tunedGiants: { x: "g" } }, /tunedGiants\.x: no such task/],
    [
      "a bystander that is an expert",
      { ...written, bystanders: { recall: "g" } },
      /bystanders\.recall: this is/,
    ],
    [
      "a target without a bound",
      { ...written, targets: [{ id: "a", task: "recall", method: "giant" }] },
      /targets\.0: give atLeast, atMost or both/,
    ],
    ["experts without a reference", { ...written, reference: null }, /reference: experts need/],
    [
      "two tasks of one name",
      { ...written, tasks: [{ file: "a/t.jsonl" }, { file: "b/t.jsonl" }] },
      /two tasks/,
    ],
    ["no task", { ...written, tasks: [] }, /tasks/],
  ])("refuses %s", (_, value, message) => {
    expect(() => parse({ tunedGiants: {}, ...value })).toThrow(message);
  });
});

describe("deriveMethods", () => {
  const { roles } = parse(written);
  const recall = task("recall", {
    expert: "recall",
    examples: Array.from({ length: 5 }, (_, n) => ({ user: `${n}?`, assistant: `${n}` })),
  });
  const words = task("words");
  const { methods, configs } = deriveMethods(roles, [recall, words]);
  const planOf = (name: string, of: Task) =>
    methods.find((method) => method.name === name)?.planFor(of) ?? null;

  it("makes every method that the models allow", () => {
    expect(methods.map(({ name }) => name)).toEqual([
      "giant",
      "expert:recall",
      "expert:problems",
      "right-expert",
      "hard-expert",
      "merged:merged-03",
      "model:giant-all",
      "tuned-giant",
      ...["", "+joint", "+expert", "+gated"].flatMap((set) =>
        ["static-0.5", "static-1", "static-1.5", "dynamic-grid", "dynamic-exact"].map((name) => name + set),
      ),
      ...["", "+joint", "+expert", "+gated"].flatMap((set) => [`static-1-hard${set}`, `dynamic-hard${set}`]),
      ...["", "+bystanders"].flatMap((more) => [
        `uniform${more}`,
        `paper-all${more}`,
        `uniform+joint${more}`,
        `paper-all+joint${more}`,
        `mixture${more}`,
        `mixture-right${more}`,
      ]),
      "dynamic-merged:merged-03",
      "dynamic-merged:merged-03+joint",
      "giant-5-shot",
      ...["", "+joint", "+expert", "+gated"].flatMap((set) => [
        `static-1-5-shot${set}`,
        `dynamic-5-shot${set}`,
      ]),
    ]);
  });

  it("plans each with the models and the strategy it is named for", () => {
    expect(planOf("static-1.5+expert", recall)).toEqual({
      configId: "eval.right.recall",
      strategy: {
        type: "static",
        weights: { recall: 1.5 },
        plausibility: { ratio: 0.1, of: "expert" },
      },
      prior: null,
    });
    expect(planOf("right-expert", recall)).toEqual(planOf("expert:recall", recall));
    expect(planOf("uniform", recall)?.strategy).toMatchObject({ weights: { recall: 0.5, problems: 0.5 } });
    const config = (id: string) => configs.find((loaded) => loaded.config.id === id)?.config;
    expect(config("eval.right.recall")?.experts.map(({ id }) => id)).toEqual(["recall"]);
    expect(config("eval.all")?.experts).toHaveLength(2);
    expect(config("eval.examples.recall")?.fewShot).toHaveLength(5);
    expect(config("eval.examples.recall")?.context.tokens).toBe(1024);
    expect(config("eval.giant")?.reference).toBeNull();
    expect(config("eval.all-bystanders")?.experts.map(({ id }) => id)).toEqual([
      "recall",
      "problems",
      "spell",
    ]);
    expect(planOf("mixture-right", recall)?.prior).toMatchObject({ shares: { recall: 1 }, isPinned: true });
    expect(planOf("mixture-right", words)?.prior).toMatchObject({ shares: { base: 1 } });
    expect(planOf("dynamic-hard", recall)?.configId).toBe("eval.hard.recall");
  });

  it("asks an adapter alone on the reference, at weight 1 over all tokens", () => {
    const roles = parse({
      ...written,
      experts: { recall: { adapter: "lora.gguf" } },
      tasks: written.tasks,
    }).roles;
    const derived = deriveMethods(roles, [recall]);
    const plan = derived.methods.find(({ name }) => name === "right-expert")?.planFor(recall);
    expect(plan?.strategy).toEqual({ type: "static", weights: { recall: 1 }, plausibility: null });
    const made = derived.configs.find(({ config }) => config.id === plan?.configId)?.config;
    expect(made?.base).toEqual(made?.reference);
    expect(made?.experts).toMatchObject([{ id: "recall", adapter: path.resolve("/models/lora.gguf") }]);
  });

  it("leaves out what does not apply to a task", () => {
    for (const name of [
      "right-expert",
      "static-1",
      "dynamic-exact+joint",
      "tuned-giant",
      "giant-5-shot",
      "dynamic-hard",
    ])
      expect(planOf(name, words), name).toBeNull();
    for (const name of ["giant", "expert:recall", "paper-all", "dynamic-merged:merged-03", "model:giant-all"])
      expect(planOf(name, words), name).not.toBeNull();
    const raw = task("recall", {
      ...recall,
      items: [{ ...recall.items[0]!, prompt: { type: "text", text: "?" } }],
    });
    expect(planOf("giant-5-shot", raw)).toBeNull();
  });

  it("selects by name and by *", () => {
    expect(selectMethods(methods, ["giant", "dynamic-e*+joint"]).map(({ name }) => name)).toEqual([
      "giant",
      "dynamic-exact+joint",
    ]);
    expect(() => selectMethods(methods, ["gaint"])).toThrow(/no method is called "gaint"; possible: giant, /);
  });
});

describe("fusion configs as roles", () => {
  const config = (id: string, parts: object) =>
    parseFusionConfig(JSON.stringify({ id, base: "giant.gguf", ...parts }), `/configs/${id}.json`);
  const expert = (id: string) => ({ reference: "dwarf.gguf", experts: [{ id, model: `${id}.gguf` }] });

  it("joins configs that share base and reference", () => {
    const roles = rolesOfConfigs([
      config("giant", {}),
      config("a", expert("trivia")),
      config("b", expert("sums")),
    ]);
    expect(roles.experts.map(({ id }) => id)).toEqual(["trivia", "sums"]);
    expect(roles.reference?.model).toBe(path.resolve("/configs/dwarf.gguf"));
  });

  it("refuses those that do not", () => {
    const other = { ...expert("sums"), reference: "other.gguf" };
    expect(() => rolesOfConfigs([config("a", expert("trivia")), config("b", other)])).toThrow(
      /"a" and "b" do not share/,
    );
  });

  it("are methods as they stand", () => {
    expect(configuredMethods(["a"])[0]?.planFor(task("t"))).toEqual({
      configId: "a",
      strategy: null,
      prior: null,
    });
  });
});
