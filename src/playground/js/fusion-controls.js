import { h, fill, field, uniqueId } from "./dom.js";
import { colourClass } from "./experts.js";
import { weight } from "./format.js";

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
    const { experts, strategy } = config;
    this.#weights = Object.fromEntries(experts.map(({ id }) => [id, weights[id] ?? 1]));
    this.#bounds = Object.fromEntries(experts.map(({ id, bounds }) => [id, [...bounds]]));
    const choices = [
      ["", "As configured"],
      ...(strategy.type === "mixture" ? [] : [["mixture", "A mixture of models"]]),
      ["dynamic", "Solved at each token"],
      ["static", "Fixed"],
      ["base", "Giant alone"],
    ];
    const priors = [
      ["", strategy.type === "mixture" ? "As configured" : "By the prompt"],
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
    const { plausibility = null } = this.#config.strategy;
    const ofStrategy = {
      "": () => ({}),
      mixture: () => ({ strategy: { type: "mixture" } }),
      dynamic: () => ({ strategy: { type: "dynamic", solver: "exact", plausibility }, bounds: this.#bounds }),
      static: () => ({ weights: this.#weights }),
      base: () => ({ strategy: { type: "base" } }),
    };
    return { ...ofStrategy[this.#strategy.value](), ...this.#priorValue, ...this.#budgetValue };
  }

  /** The type of the strategy that a request of these settings would have. */
  get #type() {
    return this.#strategy.value || this.#config.strategy.type;
  }

  get #priorValue() {
    const { value } = this.#prior;
    if (this.#type !== "mixture" || value === "") return {};
    if (value === "uniform") return { prior: { shares: "uniform" } };
    return { prior: { shares: { [value.slice("only ".length)]: 1 }, pinned: true } };
  }

  get #budgetValue() {
    const { value } = this.#budget;
    if (this.#type === "base" || value === "" || !this.#budget.checkValidity()) return {};
    return { budget: { tokenNats: Number(value) } };
  }

  #showDetails() {
    const type = this.#type;
    const chosen = this.#strategy.value;
    fill(
      this.#details,
      chosen === "" && h("p", { class: "hint" }, describeStrategy(this.#config.strategy)),
      chosen === "dynamic" && this.#config.experts.map(({ id }) => this.#boundSliders(id)),
      chosen === "static" && this.#config.experts.map(({ id }) => this.#weightSlider(id)),
      type === "mixture" && field("Shares at the start", this.#prior),
      type !== "base" &&
        field("Most nats a token", this.#budget, "How far the experts may move the giant at a token."),
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

function describeStrategy(strategy) {
  const how = {
    base: "The giant alone",
    static: "Fixed weights",
    dynamic: "Solved at each token",
    mixture: "A mixture of the giant and each expert on it, whose shares follow the answer",
  }[strategy.type];
  if (strategy.plausibility === undefined) return `${how}.`;
  const of = { joint: "plausible to giant or expert", expert: "plausible to the expert" }[
    strategy.plausibility?.of
  ];
  return of ? `${how}, over tokens ${of}.` : `${how}, over all tokens.`;
}
