import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  findFusionConfigs,
  loadFusionConfigs,
  parseFusionConfig,
  selectFusionConfigs,
} from "../../../src/config/load.js";
import { ShouldersError } from "../../../src/errors.js";

const root = path.join(import.meta.dirname, "../../..");
const shipped = path.join(root, "fusion-configs");
const starter = path.join(root, "test/data/starter/fusion-configs");

const minimal = { id: "tutor", base: "base.gguf" };
const withExpert = { ...minimal, reference: "small.gguf", experts: [{ id: "maths", model: "maths.gguf" }] };

/** The message of the error that a config gives, without the file's name. */
function refusal(config: unknown): string {
  try {
    parseFusionConfig(JSON.stringify(config), "F");
  } catch (error) {
    expect(error).toBeInstanceOf(ShouldersError);
    expect((error as ShouldersError).code).toBe("fusion_config_invalid");
    return (error as ShouldersError).message.replaceAll(/^F:\d+:\d+:? ?/gm, "");
  }
  return "accepted";
}

describe("shipped fusion configs", () => {
  it("parse, and their names are what the README promises", () => {
    const ids = loadFusionConfigs(shipped).map(({ config }) => config.id);
    const alone = ["choice", "giant", "headline", "merged", "problems", "recall"];
    expect(ids).toEqual(["all", "all-paper", ...alone]);
  });

  it("answer the same to the same question: temperature 0", () => {
    for (const { config } of loadFusionConfigs(shipped)) expect(config.sampling.temperature).toBe(0);
  });
});

describe("parseFusionConfig", () => {
  it("fills in defaults: the base alone without experts, a mixture with one as with several", () => {
    const alone = parseFusionConfig(JSON.stringify(minimal), "F").config;
    expect(alone.strategy).toEqual({ type: "base" });
    expect(alone.context).toEqual({ tokens: 4096, sequences: 8 });
    expect(alone.base).toEqual({ model: "base.gguf", gpuLayers: "auto" });
    const fused = parseFusionConfig(JSON.stringify(withExpert), "F").config;
    expect(fused.strategy).toEqual({ type: "mixture", prior: "card", components: {}, floor: 0.01 });
    expect(fused.experts[0]?.bounds).toEqual([0, 2]);
    const experts = ["maths", "law"].map((id) => ({ id, model: "m" }));
    const several = parseFusionConfig(JSON.stringify({ ...withExpert, experts }), "F").config;
    expect(several.strategy).toEqual(fused.strategy);
    const strategy = { type: "mixture", components: { maths: { weight: "solved" } } };
    expect(parseFusionConfig(JSON.stringify({ ...withExpert, strategy }), "F").config.strategy).toMatchObject(
      {
        components: { maths: { kind: "fused", weight: "solved", plausibility: { ratio: 0.1, of: "gated" } } },
      },
    );
  });

  it("takes RPC servers of this machine, and of others where that is asked for", () => {
    const rpcOf = (rpc: object) =>
      parseFusionConfig(JSON.stringify({ ...minimal, base: { model: "b", rpc } }), "F").config.base.rpc;
    expect(rpcOf({ servers: ["localhost:50052"] })).toEqual({
      ...{ servers: ["127.0.0.1:50052"], keepOutputLocal: true, allowNetwork: false },
    });
    const servers = ["ten.example:50052"];
    expect(rpcOf({ servers, allowNetwork: true })).toMatchObject({ servers });
  });

  it("says file, line and column of what is wrong", () => {
    const text = '{\n  "id": "tutor",\n  "base": "b.gguf",\n  "context": { "tokens": 3 }\n}';
    expect(() => parseFusionConfig(text, "a/b.json")).toThrow(
      "a/b.json:4:26 context.tokens: too small: expected number to be >=16, got 3",
    );
    expect(() => parseFusionConfig("{", "a/b.json")).toThrow("a/b.json:1:2: not JSON: expected a key");
  });

  it.each<[unknown, string]>([
    [[], "expected object, received array"],
    [null, "expected object, received null"],
    [{ base: "b" }, "id: missing: expected string"],
    [{ id: "a" }, "base: missing: expected string or object"],
    [{ ...minimal, id: "A b" }, "id: use 1 to 64 of a-z"],
    [{ ...minimal, base: 3 }, "base: expected string or object, got 3"],
    [{ ...minimal, base: "" }, "base: too small"],
    [{ ...minimal, base: { model: "b", gpuLayers: 1.5 } }, 'base.gpuLayers: expected "auto" or int, got 1.5'],
    [{ ...minimal, base: { modle: "b" } }, 'base.modle: unknown key "modle"; did you mean "model"?'],
    [
      { ...minimal, base: { model: "b", rpc: { servers: ["10.0.0.2:50052"] } } },
      "base.rpc.servers.0: 10.0.0.2:50052 is on the network, and RPC has neither keys nor encryption",
    ],
    [
      { ...minimal, base: { model: "b", rpc: { servers: ["localhost:1", "127.0.0.1:1"] } } },
      "127.0.0.1:1 is named twice",
    ],
    [{ ...minimal, base: { model: "b", rpc: { servers: ["[::1]:50052"] } } }, "expected host:port"],
    [
      { ...minimal, base: { model: "b", split: [1], rpc: { servers: ["127.0.0.1:1"] } } },
      "base.split: has no meaning with rpc",
    ],
    [{ ...minimal, reference: { model: "b", rpc: {} } }, 'reference.rpc: unknown key "rpc"'],
    [{ ...minimal, refrence: "b" }, 'refrence: unknown key "refrence"; did you mean "reference"?'],
    [{ ...minimal, colour: 1 }, 'colour: unknown key "colour"; known: $schema, id, description'],
    [{ ...withExpert, reference: null }, "reference: a config with experts needs the reference"],
    [
      { ...minimal, strategy: { type: "dynamic" } },
      'strategy.type: strategy "dynamic" needs at least one expert',
    ],
    [
      { ...withExpert, strategy: { type: "dynamik" } },
      'strategy.type: expected "base" or "static" or "dynamic"',
    ],
    [
      { ...withExpert, strategy: { type: "static", weights: { mathz: 1 } } },
      "no expert has this id; known: maths",
    ],
    [
      { ...withExpert, strategy: { type: "static", weights: { maths: 9 } } },
      "strategy.weights.maths: too big",
    ],
    [{ ...withExpert, strategy: { type: "dynamic", solvr: "grid" } }, 'did you mean "solver"?'],
    [
      { ...withExpert, strategy: { type: "dynamic", plausibility: { ratio: 0, of: "joint" } } },
      "strategy.plausibility.ratio: too small",
    ],
    [
      { ...withExpert, strategy: { type: "mixture", components: { mathz: {} } } },
      "strategy.components.mathz: no expert has this id; known: maths",
    ],
    [
      { ...withExpert, strategy: { type: "mixture", prior: { base: 1, law: 1 } } },
      "strategy.prior.law: no expert has this id; known: maths",
    ],
    [
      { ...withExpert, strategy: { type: "mixture", prior: { base: 0 } } },
      "strategy.prior: one share at least must be above 0",
    ],
    [{ ...withExpert, strategy: { type: "mixture", floor: -1 } }, "strategy.floor: too small"],
    [
      { ...withExpert, experts: [...withExpert.experts, ...withExpert.experts] },
      'expert id "maths" is used twice',
    ],
    [
      { ...withExpert, experts: [{ id: "maths", model: "m", bounds: [2, 1] }] },
      "experts.0.bounds: the first bound must not be above the second",
    ],
    [{ ...withExpert, experts: [{ id: "maths", model: "m", bounds: [0] }] }, "experts.0.bounds"],
    [
      { ...withExpert, experts: [{ id: "maths" }] },
      "experts.0: an expert is either a `model` or an `adapter` of the reference",
    ],
    [
      { ...withExpert, experts: [{ id: "maths", model: "m", adapter: "a" }] },
      "experts.0: an expert is either a `model` or an `adapter` of the reference",
    ],
    [
      { ...withExpert, experts: [{ id: "maths", model: "m", scale: 2 }] },
      "experts.0.scale: only an adapter has a scale",
    ],
    [{ ...withExpert, experts: [{ id: "maths", adapter: "a", scale: 200 }] }, "experts.0.scale"],
    [{ ...withExpert, experts: [{ id: "base", model: "m" }] }, 'experts.0.id: "base" is the name of a role'],
    [
      { ...withExpert, experts: [{ id: "constructor", model: "m" }] },
      'experts.0.id: "constructor" means something else to JavaScript',
    ],
    [{ ...minimal, sampling: { temperature: 3 } }, "sampling.temperature: too big"],
    [{ ...minimal, sampling: { top_p: 1 } }, 'did you mean "topP"?'],
    [{ ...minimal, fewShot: [{ user: "q" }] }, "fewShot.0.assistant: missing: expected string"],
  ])("refuses %j: %s", (config, message) => {
    expect(refusal(config)).toContain(message);
  });

  it("reports all problems of a file at once", () => {
    expect(refusal({ ...minimal, id: "A", context: { tokens: 1, sequences: 0 } }).split("\n")).toHaveLength(
      3,
    );
  });
});

describe("loadFusionConfigs", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "shoulders-load-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const write = (name: string, config: unknown): void =>
    writeFileSync(path.join(directory, name), typeof config === "string" ? config : JSON.stringify(config));

  it("reads one file, or every .json of a directory but the schema", () => {
    write("b.json", minimal);
    write("a.json", { ...minimal, id: "other" });
    write("notes.txt", "not a config");
    write("fusion-config.schema.json", {});
    expect(loadFusionConfigs(directory).map(({ config }) => config.id)).toEqual(["other", "tutor"]);
    expect(loadFusionConfigs(path.join(directory, "b.json"))).toHaveLength(1);
  });

  it("reports every faulty file, and an id used twice with both files", () => {
    write("a.json", minimal);
    write("b.json", minimal);
    write("c.json", "nonsense");
    write("d.json", { ...minimal, id: "D" });
    mkdirSync(path.join(directory, "e.json"));
    const load = (): unknown => loadFusionConfigs(directory);
    expect(load).toThrow(/c\.json:1:1: not JSON/);
    expect(load).toThrow(/d\.json:1:7 id: use 1 to 64/);
    expect(load).toThrow(/e\.json: cannot be read/);
    expect(load).toThrow(/b\.json:1:7 id: "tutor" is already the id of .*a\.json/);
  });

  it("goes without the faulty ones, whose faults are told", () => {
    write("a.json", minimal);
    write("b.json", { ...minimal, id: "twin" });
    write("c.yaml", "id: twin\nbase: b.gguf\n");
    write("d.yml", "id: other\nbase: b.gguf\nexperts: 3\n");
    write("e.toml", "");
    const warnings: string[] = [];
    const find = (ids: string[]) =>
      findFusionConfigs(directory, ids, (problem) => warnings.push(problem)).map(({ config }) => config.id);
    expect(find([])).toEqual(["tutor"]);
    expect(
      warnings.map((warning) => warning.replace(`${directory}/`, "").replace(`${directory}/`, "")),
    ).toEqual([
      "d.yml:3:10 experts: expected array, received number, got 3",
      "e.toml: is not read; write it as .json or .yaml",
      'c.yaml:1:5 id: "twin" is already the id of b.json; ids are unique',
    ]);
    expect(find(["tutor"])).toEqual(["tutor"]);
    expect(() => find(["twin"])).toThrow(/already the id/);
    rmSync(path.join(directory, "a.json"));
    expect(() => find([])).toThrow(/already the id/);
  });

  it("says where a field stands, in JSON and in YAML", () => {
    write(
      "a.yaml",
      "id: tutor\nreference: small.gguf\nbase: b.gguf\nexperts:\n  - id: maths\n    model: m.gguf\n",
    );
    write("b.json", withExpert);
    const [yaml, json] = loadFusionConfigs(path.join(directory, "a.yaml"));
    expect(json).toBeUndefined();
    expect(yaml?.placeOf(["experts", 0, "model"])).toBe(`${directory}/a.yaml:6:12 experts.0.model`);
    expect(yaml?.config.strategy.type).toBe("mixture");
    expect(loadFusionConfigs(path.join(directory, "b.json"))[0]?.placeOf(["base"])).toBe(
      `${directory}/b.json:1:22 base`,
    );
  });

  it("says what to do about a directory that is missing or empty", () => {
    expect(() => loadFusionConfigs(directory)).toThrow("no fusion config (*.json, *.yaml) in this directory");
    expect(() => loadFusionConfigs(path.join(directory, "none"))).toThrow(
      "give a fusion config or a directory of them",
    );
  });

  it("selects by id, in the order asked for", () => {
    const loaded = loadFusionConfigs(starter);
    const ids = (wanted: string[]): string[] =>
      selectFusionConfigs(loaded, wanted).map(({ config }) => config.id);
    expect(ids([])).toHaveLength(loaded.length);
    expect(ids(["trivia", "giant", "trivia"])).toEqual(["trivia", "giant"]);
    expect(() => ids(["trivai"])).toThrow('no fusion config has the id "trivai"; did you mean "trivia"?');
    expect(() => ids(["nothing"])).toThrow("known: both, giant, sums, trivia, trivia-static");
  });
});
