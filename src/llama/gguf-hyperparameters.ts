import { GgufProblem } from "./gguf-reader.js";

const mostLayers = 512;
const mostExperts = 1024;
const ropeScalingTypes = ["none", "linear", "yarn", "longrope"];

const epsilons = ["layer_norm_rms_epsilon", "layer_norm_epsilon", "group_norm_epsilon"].map(
  (name) => `attention.${name}`,
);
const ropeBases = ["rope.freq_base", "rope.freq_base_swa"];

/**
 * What libllama asserts about a model's shape while it loads it, and of its numbers when it decodes: there a wrong one ends the process. From
 * `load_hparams` in llama-model.cpp. A missing number, or one that does not fit the tensors, is libllama's to tell.
 *
 * @param values scalars of the metadata.
 * @param arrays lengths of its arrays: some numbers may be given layer by layer instead.
 * @throws GgufProblem
 */
export function checkHyperparameters(
  architecture: string,
  values: ReadonlyMap<string, unknown>,
  arrays: ReadonlyMap<string, number>,
): void {
  const key = (name: string) => `${architecture}.${name}`;
  const given = (name: string) => (values.has(key(name)) ? Number(values.get(key(name))) : null);
  const expect = (isRight: boolean, name: string) => {
    if (!isRight) throw new GgufProblem(`is corrupt: ${key(name)} is ${String(values.get(key(name)))}`);
  };
  const layers = given("block_count");
  expect(layers === null || (layers >= 1 && layers <= mostLayers), "block_count");
  expect((given("nextn_predict_layers") ?? 0) <= (layers ?? mostLayers), "nextn_predict_layers");
  const experts = given("expert_count") ?? 0;
  const used = given("expert_used_count");
  const groups = given("expert_group_count") ?? 0;
  const groupsUsed = given("expert_group_used_count") ?? 0;
  expect(experts <= mostExperts, "expert_count");
  if (used !== null) expect(experts === 0 ? used === 0 : used >= 1 && used <= experts, "expert_used_count");
  else expect(experts === 0 || arrays.has(key("expert_used_count")), "expert_count");
  expect(experts === 0 ? groups === 0 : groups < experts, "expert_group_count");
  if (groups > 1) {
    expect(experts % groups === 0, "expert_group_count");
    expect(groupsUsed >= 1 && groupsUsed < groups, "expert_group_used_count");
  }
  for (const [name, value] of values)
    if (name.startsWith(`${architecture}.`) && typeof value === "number" && !Number.isFinite(value))
      expect(false, name.slice(architecture.length + 1));
  for (const name of epsilons) expect((given(name) ?? 0) >= 0, name);
  for (const name of ropeBases) expect((given(name) ?? 1) > 0, name);
  const scaling = values.get(key("rope.scaling.type"));
  expect(scaling === undefined || ropeScalingTypes.some((known) => known === scaling), "rope.scaling.type");
}
