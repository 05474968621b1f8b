import { h, fill, field, uniqueId } from "./dom.js";
import { colourClass } from "./experts.js";
import { weight } from "./format.js";

/** How the experts are weighed: as the config says, or otherwise for this request. */
export class FusionControls {
  element = h("div", { class: "fusion-controls" });
  #config = null;
  #strategy = h("select");
  #details = h("div", { class: "sliders" });
  #weights = {};
  #bounds = [0, 2];
  #onchange;

  constructor(onchange = () => undefined) {
    this.#onchange = onchange;
    this.#strategy.addEventListener("change", () => {
      this.#showDetails();
      this.#onchange();
    });
    this.element.append(field("Weights", this.#strategy), this.#details);
  }

  /** @param weights where the sliders of fixed weights begin */
  show(config, weights = {}) {
    this.#config = config;
    this.#weights = Object.fromEntries(config.experts.map(({ id }) => [id, weights[id] ?? 1]));
    this.#bounds = [...(config.experts[0]?.bounds ?? [0, 2])];
    const choices = [
      ["", "As configured"],
      ["dynamic", "Solved at each token"],
      ["static", "Fixed"],
      ["base", "Giant alone"],
    ];
    const offered = config.experts.length > 0 ? choices : choices.slice(0, 1);
    fill(
      this.#strategy,
      offered.map(([value, label]) => h("option", { value }, label)),
    );
    this.#showDetails();
  }

  /** The request's `fusion` fields. */
  get value() {
    const { plausibility = null } = this.#config.strategy;
    switch (this.#strategy.value) {
      case "dynamic":
        return { strategy: { type: "dynamic", solver: "exact", plausibility }, bounds: this.#bounds };
      case "static":
        return { weights: this.#weights };
      case "base":
        return { strategy: { type: "base" } };
      default:
        return {};
    }
  }

  choose(strategy) {
    this.#strategy.value = strategy;
    this.#showDetails();
  }

  #showDetails() {
    const { experts } = this.#config;
    const sliders = {
      dynamic: () => [
        slider("Lowest weight", this.#bounds[0], (value) => {
          this.#bounds = [value, Math.max(value, this.#bounds[1])];
        }),
        slider("Highest weight", this.#bounds[1], (value) => {
          this.#bounds = [Math.min(value, this.#bounds[0]), value];
        }),
      ],
      static: () =>
        experts.map(({ id }) =>
          slider(id, this.#weights[id], (value) => (this.#weights[id] = value), colourClass(id)),
        ),
    };
    const configured = () => h("p", { class: "hint" }, describeStrategy(this.#config.strategy));
    fill(
      this.#details,
      this.#strategy.value === "" ? configured() : (sliders[this.#strategy.value]?.() ?? []),
    );
  }
}

function slider(label, value, onvalue, colour = "") {
  const id = uniqueId("slider");
  const output = h("output", { for: id }, weight(value));
  const input = h("input", { id, type: "range", min: "-1", max: "3", step: "0.05", value: String(value) });
  input.addEventListener("input", () => {
    output.textContent = weight(Number(input.value));
    onvalue(Number(input.value));
  });
  return h("div", { class: `slider ${colour}` }, h("label", { for: id }, label), input, output);
}

function describeStrategy(strategy) {
  if (strategy.type === "base") return "The giant alone.";
  const how = strategy.type === "static" ? "Fixed weights" : "Solved at each token";
  const of = { joint: "plausible to giant or expert", expert: "plausible to the expert" }[
    strategy.plausibility?.of
  ];
  return of ? `${how}, over tokens ${of}.` : `${how}, over all tokens.`;
}
