import { LineChart } from "./chart.js";
import { h } from "./dom.js";
import { colourOf, cssColour, expertsOf } from "./experts.js";
import { visible } from "./format.js";

/** Weights and divergences over a whole answer. */
export class Timeline {
  element = h("div", { class: "timeline" });
  #answer = null;
  /** Name of a chart to it and where it is. */
  #charts = new Map();

  constructor(onselect) {
    for (const [name, height] of Object.entries({ shares: 170, weights: 170, divergences: 190 })) {
      const place = h("div", { class: "chart", "data-chart": name, hidden: true });
      this.#charts.set(name, { place, chart: new LineChart(place, { height, onselect }) });
      this.element.append(place);
    }
  }

  show(answer) {
    const isNew = this.#answer !== answer;
    this.#answer = answer;
    const specs = new Map(this.specs().map((spec) => [spec.name, spec]));
    for (const [name, { place, chart }] of this.#charts) {
      place.hidden = !specs.has(name);
      if (specs.has(name)) chart.show(specs.get(name), { keepsZoom: !isNew });
    }
  }

  select(index) {
    for (const { chart } of this.#charts.values()) chart.select(index + 1);
  }

  /** The data of the charts that have any, as the pictures to save need it too. */
  specs() {
    const { tokens, texts } = this.#answer;
    const shared = {
      x: tokens.map((_, index) => index + 1),
      xTick: (place) => (tokens.length <= 24 ? shortened(texts[place - 1] ?? "") : String(place)),
      xLabel: "token",
    };
    const specs = [
      { name: "shares", title: "Share of each model", yLabel: "share", series: shareSeries(tokens) },
      { name: "weights", title: "Weight of each expert", yLabel: "weight", series: weightSeries(tokens) },
      {
        name: "divergences",
        title: "Divergence from the base",
        yLabel: "nats",
        series: divergenceSeries(tokens),
      },
    ];
    return specs.filter(({ series }) => series.length > 0).map((spec) => ({ ...shared, ...spec }));
  }
}

/** Dots as well as lines, while they can be told apart. */
const line = (label, colour, values, dash) => ({ label, colour, values, dash, points: values.length <= 200 });

function shareSeries(tokens) {
  const ids = [...new Set(tokens.flatMap(({ shares }) => Object.keys(shares ?? {})))];
  return ids.map((id) => {
    const values = tokens.map(({ shares }) => shares?.[id] ?? null);
    return id === "base" ? line("base", cssColour("--quiet"), values) : line(id, colourOf(id), values);
  });
}

function weightSeries(tokens) {
  return expertsOf(tokens).map((id) => {
    const values = tokens.map(({ weights }) => weights[id] ?? null);
    return line(id, colourOf(id), values);
  });
}

function divergenceSeries(tokens) {
  const directions = ["forward", "reverse"];
  const achieved = directions.map((key) => {
    const values = tokens.map(({ divergence }) => divergence?.[key] ?? null);
    return line(key, cssColour(`--${key}`), values);
  });
  if (expertsOf(tokens).length === 0) return achieved;
  // Over the whole vocabulary, where the others are over the tokens that take part.
  const moved = line(
    "moved",
    cssColour("--text"),
    tokens.map(({ nats }) => nats),
  );
  const targets = directions.map((key) => {
    const values = tokens.map(({ divergence }) => meanTarget(divergence, key));
    return line(`${key} target`, cssColour(`--${key}`), values, [4, 4]);
  });
  return [moved, ...achieved, ...targets];
}

/** The solver looks at the mean over the experts; null where a token had none. */
function meanTarget(divergence, key) {
  const values = Object.values(divergence?.targets ?? {}).map((target) => target[key]);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

const shortened = (text) => {
  const shown = text === "" ? "end" : visible(text);
  return shown.length > 7 ? `${shown.slice(0, 6)}…` : shown;
};
