import { h, fill, field } from "./dom.js";
import { FusionControls } from "./fusion-controls.js";
import { choiceOf } from "./strategies.js";

/** What a request asks for besides its messages. An empty field means the config's own value. */
const samplingFields = [
  { name: "temperature", label: "Temperature", of: "temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", label: "Top p", of: "top_p", min: 0, max: 1, step: 0.01 },
  { name: "top_k", label: "Top k", of: "top_k", min: 0, max: 1000, step: 1 },
  { name: "min_p", label: "Min p", of: "min_p", min: 0, max: 1, step: 0.01 },
  { name: "repeat_penalty", label: "Repeat penalty", of: "repeat_penalty", min: 0.1, max: 10, step: 0.05 },
  { name: "seed", label: "Seed", placeholder: "random", min: 0, max: 4294967295, step: 1 },
  { name: "max_tokens", label: "Most tokens", placeholder: "no limit", min: 1, max: 1048576, step: 1 },
];

export class Settings {
  #configs = [];
  #inputs = Object.fromEntries(
    samplingFields.map(({ name, min, max, step }) => [
      name,
      h("input", { type: "number", inputmode: "decimal", min, max, step, name }),
    ]),
  );
  #system = h("textarea", { rows: "3", placeholder: "None", spellcheck: "false" });
  #full = h("input", { type: "checkbox", id: "record-full", checked: true });
  fusion = new FusionControls();
  element;

  /** @param onmodel called with the config that was chosen; `hasModel` false: configs are chosen elsewhere. */
  constructor({ hasModel = true, onmodel = () => undefined } = {}) {
    this.model = h("select", { onchange: () => this.#showConfig() });
    this.description = h("p", { class: "hint description" });
    this.onmodel = onmodel;
    const panel = h(
      "div",
      { class: "settings-body" },
      hasModel && [field("Model", this.model), this.description, this.fusion.element],
      field("System prompt", this.#system),
      h(
        "fieldset",
        null,
        h("legend", null, "Sampling"),
        samplingFields.map(({ name, label }) => field(label, this.#inputs[name])),
      ),
      h(
        "label",
        { class: "check", for: "record-full" },
        this.#full,
        h("span", null, "Record top tens and curves of every token"),
      ),
    );
    this.element = h("details", { class: "settings" }, h("summary", null, "Settings"), panel);
    const wide = matchMedia("(min-width: 1000px)");
    const follow = () => (this.element.open = wide.matches);
    wide.addEventListener("change", follow);
    follow();
  }

  showConfigs(configs) {
    this.#configs = configs;
    const chosen = this.model.value;
    fill(
      this.model,
      configs.map(({ id }) => h("option", { value: id }, id)),
    );
    this.model.value = (configs.find(({ id }) => id === chosen) ?? favourite(configs))?.id ?? "";
    this.#showConfig();
  }

  get config() {
    return this.#configs.find(({ id }) => id === this.model.value);
  }

  /** The request's body without messages and without `fusion` beyond the trace. */
  get sampling() {
    const given = samplingFields
      .filter(({ name }) => this.#inputs[name].value !== "" && this.#inputs[name].checkValidity())
      .map(({ name }) => [name, Number(this.#inputs[name].value)]);
    return Object.fromEntries(given);
  }

  setMostTokens(count) {
    this.#inputs.max_tokens.value = String(count);
  }

  /** What is said of traces: answers bring little of each token, the server keeps the rest for who looks inside. */
  get traces() {
    return { trace: "weights", keep_trace: this.#full.checked ? "full" : "weights" };
  }

  get systemMessages() {
    const content = this.#system.value.trim();
    return content === "" ? [] : [{ role: "system", content }];
  }

  #showConfig() {
    const { config } = this;
    if (!config) return;
    this.description.textContent = config.description;
    for (const { name, of, placeholder } of samplingFields)
      this.#inputs[name].placeholder = placeholder ?? String(Number(config.sampling[of].toFixed(4)));
    this.fusion.show(config);
    this.onmodel(config);
  }
}

/** What is shown first: a mixture, or else a config with experts, and one with a question to try where there is one. */
export function favourite(configs) {
  const mixtures = configs.filter((config) =>
    choiceOf(config, config.strategy.type).controls.includes("shares"),
  );
  const fused = mixtures.length > 0 ? mixtures : configs.filter(({ experts }) => experts.length > 0);
  return fused.findLast(({ example }) => example) ?? fused[0] ?? configs[0];
}
