// @ts-check
import { h, fill, field } from "./dom.js";
import { FusionControls } from "./fusion-controls.js";
import { choiceOf } from "./strategies.js";

/** @import { Config, Message, Traces } from "./answer.js" */

/**
 * What a request asks for besides its messages. An empty field means the config's own value.
 *
 * @type {{
 *   name: string;
 *   label: string;
 *   of?: keyof Config["sampling"];
 *   placeholder?: string;
 *   min: number;
 *   max: number;
 *   step: number;
 * }[]}
 */
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
  /** @type {Config[]} */
  #configs = [];
  #fields = samplingFields.map(({ min, max, step, ...entry }) => ({
    ...entry,
    input: h("input", { type: "number", inputmode: "decimal", min, max, step, name: entry.name }),
  }));
  #system = h("textarea", { rows: "3", placeholder: "None", spellcheck: "false" });
  #full = h("input", { type: "checkbox", id: "record-full", checked: true });
  fusion = new FusionControls();
  model = h("select", { onchange: () => this.#showConfig() });
  description = h("p", { class: "hint description" });
  element;

  /**
   * @param {object} options
   * @param {boolean} [options.hasModel] false: configs are chosen elsewhere
   * @param {(config: Config) => void} [options.onmodel] called with the config that was chosen
   */
  constructor({ hasModel = true, onmodel = () => {} }) {
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
        this.#fields.map(({ label, input }) => field(label, input)),
      ),
      h(
        "label",
        { class: "check", for: "record-full" },
        this.#full,
        h("span", null, "Record top tens and curves of every token"),
      ),
    );
    const element = h("details", { class: "settings" }, h("summary", null, "Settings"), panel);
    const wide = matchMedia("(min-width: 1000px)");
    const follow = () => (element.open = wide.matches);
    wide.addEventListener("change", follow);
    follow();
    this.element = element;
  }

  /** @param {Config[]} configs */
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

  /** The chosen one; null: there is none yet. */
  get config() {
    return this.#configs.find(({ id }) => id === this.model.value) ?? null;
  }

  /** The request's fields that say how its answer is sampled. @returns {Record<string, number>} */
  get sampling() {
    const given = this.#fields.filter(({ input }) => input.value !== "" && input.checkValidity());
    return Object.fromEntries(given.map(({ name, input }) => [name, Number(input.value)]));
  }

  /** @param {number} count */
  setMostTokens(count) {
    for (const { name, input } of this.#fields) if (name === "max_tokens") input.value = String(count);
  }

  /** What is said of traces: answers bring little of each token, the server keeps the rest for who looks inside. @returns {Traces} */
  get traces() {
    return { trace: "weights", keep_trace: this.#full.checked ? "full" : "weights" };
  }

  /** @returns {Message[]} */
  get systemMessages() {
    const content = this.#system.value.trim();
    return content === "" ? [] : [{ role: "system", content }];
  }

  #showConfig() {
    const { config } = this;
    if (config === null) return;
    this.description.textContent = config.description;
    for (const { of, placeholder = "", input } of this.#fields)
      input.placeholder = of ? String(Number(config.sampling[of].toFixed(4))) : placeholder;
    this.fusion.show(config);
    this.onmodel(config);
  }
}

/**
 * What is shown first: a mixture, or else a config with experts, and one with a question to try where there is one.
 *
 * @param {Config[]} configs
 */
export function favourite(configs) {
  const mixtures = configs.filter((config) =>
    choiceOf(config, config.strategy.type)?.controls.includes("shares"),
  );
  const fused = mixtures.length > 0 ? mixtures : configs.filter(({ experts }) => experts.length > 0);
  return fused.findLast(({ example }) => example) ?? fused[0] ?? configs[0];
}
