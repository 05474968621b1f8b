// @ts-check
import { h, fill, field, uniqueId } from "./dom.js";
import { colourClass } from "./experts.js";
import { weight } from "./format.js";
import { choiceOf } from "./strategies.js";

/** @import { ConfigBody, StrategyChoiceBody } from "../../wire/config.js" */

/**
 * What a request says of how its answer is weighed, in its field `fusion`.
 *
 * @typedef {object} FusionFields
 * @property {StrategyChoiceBody["settings"]} [strategy]
 * @property {Record<string, number>} [weights]
 * @property {Record<string, [number, number]>} [bounds]
 * @property {{ shares: "uniform" | Record<string, number>; pinned?: boolean }} [prior]
 * @property {{ token_nats: number }} [budget]
 * @property {number[]} [continue] tokens that the answer begins with
 */

/** What the sliders say of one expert. @typedef {{ id: string; weight: number; low: number; high: number }} Wish */

/** How the experts are weighed: as the config says, or otherwise for this request. */
export class FusionControls {
  element = h("div", { class: "fusion-controls" });
  /** @type {ConfigBody | null} */
  #config = null;
  #strategy = h("select", { onchange: () => this.#showDetails() });
  #prior = h("select");
  #budget = h("input", {
    type: "number",
    inputmode: "decimal",
    min: 0,
    max: 1000,
    step: "any",
    placeholder: "no bound",
  });
  #details = h("div", { class: "sliders" });
  /** @type {Wish[]} */
  #wishes = [];

  constructor() {
    this.element.append(field("Weights", this.#strategy), this.#details);
  }

  /**
   * @param {ConfigBody} config
   * @param {Record<string, number>} weights where the sliders of fixed weights begin
   */
  show(config, weights = {}) {
    this.#config = config;
    const { experts, strategy_choices } = config;
    this.#wishes = experts.map(({ id, bounds: [low, high] }) => ({
      id,
      weight: weights[id] ?? 1,
      low,
      high,
    }));
    const choices = experts.length > 0 ? strategy_choices : [];
    showOptions(this.#strategy, [
      ["", "As configured"],
      ...choices.map(({ settings, label }) => pair(settings.type, label)),
    ]);
    showOptions(this.#prior, [
      ["", "As configured"],
      ["uniform", "Even"],
      ...experts.map(({ id }) => pair(`only ${id}`, `${id} only`)),
    ]);
    this.#budget.value = "";
    this.#showDetails();
  }

  /** The request's `fusion` fields. @returns {FusionFields} */
  get value() {
    return { ...this.#strategyValue, ...this.#priorValue, ...this.#budgetValue };
  }

  /** @returns {FusionFields} */
  get #strategyValue() {
    const chosen = this.#chosen;
    if (chosen === null) return {};
    // Fixed weights keep the config's plausible set, as the strategy would.
    if (chosen.controls.includes("weights"))
      return { weights: Object.fromEntries(this.#wishes.map((wish) => [wish.id, wish.weight])) };
    const bounds = this.#solved(chosen).map(({ id, low, high }) => [id, [low, high]]);
    return { strategy: chosen.settings, ...(bounds.length > 0 && { bounds: Object.fromEntries(bounds) }) };
  }

  /** What was chosen instead of the config's strategy; null: nothing. */
  get #chosen() {
    return this.#config && choiceOf(this.#config, this.#strategy.value);
  }

  /** The experts whose weights this solves for. @param {StrategyChoiceBody} choice */
  #solved({ solved_experts }) {
    return this.#wishes.filter(({ id }) => solved_experts.includes(id));
  }

  /** Whether a request of these settings may say this. @param {StrategyChoiceBody["controls"][number]} control */
  #takes(control) {
    const own = this.#config && choiceOf(this.#config, this.#config.strategy.type);
    return (this.#chosen ?? own)?.controls.includes(control) ?? false;
  }

  /** @returns {FusionFields} */
  get #priorValue() {
    const { value } = this.#prior;
    if (!this.#takes("shares") || value === "") return {};
    if (value === "uniform") return { prior: { shares: "uniform" } };
    return { prior: { shares: { [value.slice("only ".length)]: 1 }, pinned: true } };
  }

  /** @returns {FusionFields} */
  get #budgetValue() {
    const { value } = this.#budget;
    if (!this.#takes("budget") || value === "" || !this.#budget.checkValidity()) return {};
    return { budget: { token_nats: Number(value) } };
  }

  #showDetails() {
    if (this.#config === null) return;
    const { strategy_in_words, warnings } = this.#config;
    const chosen = this.#chosen;
    fill(
      this.#details,
      h("p", { class: "hint" }, chosen?.words ?? strategy_in_words),
      warnings.map(({ code, message, advice }) =>
        h("p", { class: "hint warning", "data-code": code }, `${message}. ${advice}`),
      ),
      chosen && this.#solved(chosen).map(boundSliders),
      chosen?.controls.includes("weights") && this.#wishes.map(weightSlider),
      this.#takes("shares") && field("Shares at the start", this.#prior),
      this.#takes("budget") &&
        field("Most nats a token", this.#budget, "How far the experts may move the base at a token."),
    );
  }
}

/**
 * @param {string} value
 * @param {string} label
 * @returns {[string, string]}
 */
const pair = (value, label) => [value, label];

/**
 * @param {HTMLSelectElement} select
 * @param {[value: string, label: string][]} options
 */
const showOptions = (select, options) =>
  fill(
    select,
    options.map(([value, label]) => h("option", { value }, label)),
  );

/** @param {Wish} wish */
const weightSlider = (wish) =>
  slider(wish.id, wish.weight, (value) => (wish.weight = value), colourClass(wish.id)).element;

/** The lower end pushes the upper one before it, and the other way round. @param {Wish} wish */
function boundSliders(wish) {
  const { id } = wish;
  const lowest = slider(`${id}, at least`, wish.low, (value) => {
    wish.low = value;
    wish.high = Math.max(value, wish.high);
    highest.set(wish.high);
  });
  const highest = slider("at most", wish.high, (value) => {
    wish.high = value;
    wish.low = Math.min(value, wish.low);
    lowest.set(wish.low);
  });
  highest.input.setAttribute("aria-label", `${id}, at most`);
  return h("div", { class: `bounds ${colourClass(id)}`, "data-bounds": id }, lowest.element, highest.element);
}

/**
 * @param {string} label
 * @param {number} value
 * @param {(value: number) => void} onvalue
 */
function slider(label, value, onvalue, colour = "") {
  const id = uniqueId("slider");
  const output = h("output", { for: id });
  // The config's own bounds may be wider.
  const [min, max] = [Math.min(-1, Math.floor(value)), Math.max(3, Math.ceil(value))];
  const input = h("input", { id, type: "range", min, max, step: 0.05 });
  const set = (/** @type {number} */ next) => {
    input.value = String(next);
    output.textContent = weight(next);
  };
  set(value);
  input.addEventListener("input", () => {
    set(Number(input.value));
    onvalue(Number(input.value));
  });
  const element = h("div", { class: `slider ${colour}` }, h("label", { for: id }, label), input, output);
  return { element, input, set };
}
