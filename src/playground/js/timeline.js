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
    const x = tokens.map((_, index) => index + 1);
    const xTick = (place) => (tokens.length <= 24 ? shortened(texts[place - 1] ?? "") : String(place));
    const ids = expertsOf(tokens);
    const mean = (record, key) => {
      const targets = Object.values(record.divergence.targets);
      return targets.length === 0
        ? null
        : targets.reduce((sum, target) => sum + target[key], 0) / targets.length;
    };
    const line = (label, colour, values, dash) => ({
      label,
      colour,
      values,
      dash,
      points: tokens.length <= 200,
    });
    const [forward, reverse] = [cssColour("--forward"), cssColour("--reverse")];
    const targets = [
      line(
        "forward target",
        forward,
        tokens.map((record) => mean(record, "forward")),
        [4, 4],
      ),
      line(
        "reverse target",
        reverse,
        tokens.map((record) => mean(record, "reverse")),
        [4, 4],
      ),
    ];
    return [
      {
        title: "Weight of each expert",
        x,
        xTick,
        xLabel: "token",
        yLabel: "weight",
        series: ids.map((id) =>
          line(
            id,
            colourOf(id),
            tokens.map(({ weights }) => weights[id] ?? null),
          ),
        ),
      },
      {
        title: "Divergence from the giant",
        x,
        xTick,
        xLabel: "token",
        yLabel: "nats",
        series: [
          line(
            "forward",
            forward,
            tokens.map(({ divergence }) => divergence.forward),
          ),
          line(
            "reverse",
            reverse,
            tokens.map(({ divergence }) => divergence.reverse),
          ),
          ...(ids.length > 0 ? targets : []),
        ],
      },
    ];
  }
}

const shortened = (text) => {
  const shown = text === "" ? "end" : visible(text);
  return shown.length > 7 ? `${shown.slice(0, 6)}…` : shown;
};
