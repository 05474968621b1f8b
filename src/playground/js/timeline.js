import { LineChart } from "./chart.js";
import { h } from "./dom.js";
import { colourOf, cssColour, expertsOf } from "./experts.js";
import { visible } from "./format.js";

/** Weights and divergences over a whole answer. */
export class Timeline {
  element = h("div", { class: "timeline" });
  #weights = h("div", { class: "chart", "data-chart": "weights" });
  #divergences = h("div", { class: "chart", "data-chart": "divergences" });
  #charts;
  #answer = null;

  constructor(onselect) {
    this.element.append(this.#weights, this.#divergences);
    this.#charts = [
      new LineChart(this.#weights, { height: 170, onselect }),
      new LineChart(this.#divergences, { height: 190, onselect }),
    ];
  }

  show(answer) {
    this.#answer = answer;
    const specs = this.specs();
    this.#charts.forEach((chart, at) => chart.show(specs[at]));
    // A model without experts has weights to show as little as targets.
    this.#weights.hidden = specs[0].series.length === 0;
  }

  select(index) {
    for (const chart of this.#charts) chart.select(index + 1);
  }

  /** The data of the charts, as the pictures to save need it too. */
  specs() {
    const { tokens, texts } = this.#answer;
    const shared = {
      x: tokens.map((_, index) => index + 1),
      xTick: (place) => (tokens.length <= 24 ? shortened(texts[place - 1] ?? "") : String(place)),
      xLabel: "token",
    };
    return [
      { ...shared, title: "Weight of each expert", yLabel: "weight", series: weightSeries(tokens) },
      { ...shared, title: "Divergence from the giant", yLabel: "nats", series: divergenceSeries(tokens) },
    ];
  }
}

/** Dots as well as lines, while they can be told apart. */
const line = (label, colour, values, dash) => ({ label, colour, values, dash, points: values.length <= 200 });

function weightSeries(tokens) {
  return expertsOf(tokens).map((id) => {
    const values = tokens.map(({ weights }) => weights[id] ?? null);
    return line(id, colourOf(id), values);
  });
}

function divergenceSeries(tokens) {
  const directions = ["forward", "reverse"];
  const achieved = directions.map((key) => {
    const values = tokens.map(({ divergence }) => divergence[key]);
    return line(key, cssColour(`--${key}`), values);
  });
  if (expertsOf(tokens).length === 0) return achieved;
  const targets = directions.map((key) => {
    const values = tokens.map(({ divergence }) => meanTarget(divergence, key));
    return line(`${key} target`, cssColour(`--${key}`), values, [4, 4]);
  });
  return [...achieved, ...targets];
}

/** The solver looks at the mean over the experts; null where a token had none. */
function meanTarget({ targets }, key) {
  const values = Object.values(targets).map((target) => target[key]);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

const shortened = (text) => {
  const shown = text === "" ? "end" : visible(text);
  return shown.length > 7 ? `${shown.slice(0, 6)}…` : shown;
};
