import { GgufProblem } from "./gguf-reader.js";

const mostLayers = 512;
const mostExperts = 1024;
const ropeScalingTypes = ["none", "linear", "yarn", "longrope"];

/**
 * What libllama asserts about a model's shape while it loads it: there a wrong number ends the process. From
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
  const scaling = values.get(key("rope.scaling.type"));
  expect(scaling === undefined || ropeScalingTypes.some((known) => known === scaling), "rope.scaling.type");
}
