import { h, fill, field, uniqueId } from "./dom.js";
import { colourClass } from "./experts.js";
import { weight } from "./format.js";
import { choiceOf } from "./strategies.js";

/** How the experts are weighed: as the config says, or otherwise for this request. */
export class FusionControls {
  element = h("div", { class: "fusion-controls" });
  #config = null;
  #strategy = h("select", { onchange: () => this.#showDetails() });
  #prior = h("select");
  #budget = h("input", { type: "number", inputmode: "decimal", min: 0, max: 1000, step: "any" });
  #details = h("div", { class: "sliders" });
  #weights = {};
  #bounds = {};

  constructor() {
    this.#budget.placeholder = "no bound";
    this.element.append(field("Weights", this.#strategy), this.#details);
  }

  /** @param weights where the sliders of fixed weights begin */
  show(config, weights = {}) {
    this.#config = config;
    const { experts, strategy_choices } = config;
    this.#weights = Object.fromEntries(experts.map(({ id }) => [id, weights[id] ?? 1]));
    this.#bounds = Object.fromEntries(experts.map(({ id, bounds }) => [id, [...bounds]]));
    const choices = [
      ["", "As configured"],
      ...strategy_choices.map(({ settings, label }) => [settings.type, label]),
    ];
    const priors = [
      ["", "As configured"],
      ["uniform", "Even"],
      ...experts.map(({ id }) => [`only ${id}`, `${id} only`]),
    ];
    showOptions(this.#strategy, experts.length > 0 ? choices : choices.slice(0, 1));
    showOptions(this.#prior, priors);
    this.#budget.value = "";
    this.#showDetails();
  }

  /** The request's `fusion` fields. */
  get value() {
    return { ...this.#strategyValue, ...this.#priorValue, ...this.#budgetValue };
  }

  get #strategyValue() {
    const chosen = this.#chosen;
    if (chosen === null) return {};
    // Fixed weights keep the config's plausible set, as the strategy would.
    if (chosen.controls.includes("weights")) return { weights: this.#weights };
    const bounds = Object.fromEntries(chosen.solved_experts.map((id) => [id, this.#bounds[id]]));
    return { strategy: chosen.settings, ...(chosen.solved_experts.length > 0 ? { bounds } : {}) };
  }

  /** What was chosen instead of the config's strategy; null: nothing. */
  get #chosen() {
    return choiceOf(this.#config, this.#strategy.value);
  }

  /** Whether a request of these settings may say this. */
  #takes(control) {
    const { controls } = this.#chosen ?? choiceOf(this.#config, this.#config.strategy.type);
    return controls.includes(control);
  }

  get #priorValue() {
    const { value } = this.#prior;
    if (!this.#takes("shares") || value === "") return {};
    if (value === "uniform") return { prior: { shares: "uniform" } };
    return { prior: { shares: { [value.slice("only ".length)]: 1 }, pinned: true } };
  }

  get #budgetValue() {
    const { value } = this.#budget;
    if (!this.#takes("budget") || value === "" || !this.#budget.checkValidity()) return {};
    return { budget: { token_nats: Number(value) } };
  }

  #showDetails() {
    const { experts, strategy_in_words, warnings } = this.#config;
    const { controls = [], solved_experts = [] } = this.#chosen ?? {};
    fill(
      this.#details,
      h("p", { class: "hint" }, this.#chosen?.words ?? strategy_in_words),
      warnings.map(({ code, message, advice }) =>
        h("p", { class: "hint warning", "data-code": code }, `${message}. ${advice}`),
      ),
      solved_experts.map((id) => this.#boundSliders(id)),
      controls.includes("weights") && experts.map(({ id }) => this.#weightSlider(id)),
      this.#takes("shares") && field("Shares at the start", this.#prior),
      this.#takes("budget") &&
        field("Most nats a token", this.#budget, "How far the experts may move the base at a token."),
    );
  }

  #weightSlider(id) {
    return slider(id, this.#weights[id], (value) => (this.#weights[id] = value), colourClass(id)).element;
  }

  /** The lower end pushes the upper one before it, and the other way round. */
  #boundSliders(id) {
    const [low, high] = this.#bounds[id];
    const lowest = slider(`${id}, at least`, low, (value) => {
      this.#bounds[id] = [value, Math.max(value, this.#bounds[id][1])];
      highest.set(this.#bounds[id][1]);
    });
    const highest = slider("at most", high, (value) => {
      this.#bounds[id] = [Math.min(value, this.#bounds[id][0]), value];
      lowest.set(this.#bounds[id][0]);
    });
    highest.input.setAttribute("aria-label", `${id}, at most`);
    return h(
      "div",
      { class: `bounds ${colourClass(id)}`, "data-bounds": id },
      lowest.element,
      highest.element,
    );
  }
}

const showOptions = (select, options) =>
  fill(
    select,
    options.map(([value, label]) => h("option", { value }, label)),
  );

function slider(label, value, onvalue, colour = "") {
  const id = uniqueId("slider");
  const output = h("output", { for: id });
  // The config's own bounds may be wider.
  const [min, max] = [Math.min(-1, Math.floor(value)), Math.max(3, Math.ceil(value))];
  const input = h("input", { id, type: "range", min, max, step: 0.05 });
  const set = (next) => {
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
