// @ts-check
import { LineChart } from "./chart.js";
import { h } from "./dom.js";
import { colourOf, cssColour, expertsOf } from "./experts.js";
import { visible } from "./format.js";

/** @import { Answer, TokenRecord } from "./answer.js" */
/** @import { Chart, Series } from "./chart-svg.js" */

/** Weights and divergences over a whole answer. */
export class Timeline {
  element = h("div", { class: "timeline" });
  /** @type {Answer | null} */
  #answer = null;
  /** @type {{ name: string; place: HTMLElement; view: LineChart }[]} */
  #views = [];

  /** @param {(index: number) => void} onselect */
  constructor(onselect) {
    for (const [name, height] of Object.entries({ shares: 170, weights: 170, divergences: 190 })) {
      const place = h("div", { class: "chart", "data-chart": name, hidden: true });
      this.#views.push({ name, place, view: new LineChart(place, { height, onselect }) });
      this.element.append(place);
    }
  }

  /** @param {Answer} answer */
  show(answer) {
    const isNew = this.#answer !== answer;
    this.#answer = answer;
    const charts = this.charts();
    for (const { name, place, view } of this.#views) {
      const chart = charts.find((candidate) => candidate.name === name);
      place.hidden = chart === undefined;
      if (chart) view.show(chart, { keepsZoom: !isNew });
    }
  }

  /** @param {number} index */
  select(index) {
    for (const { view } of this.#views) view.select(index + 1);
  }

  /** The data of the charts that have any, as the pictures to save need it too. @returns {Chart[]} */
  charts() {
    const { tokens, texts } = this.#answer ?? { tokens: [], texts: [] };
    const shared = {
      x: tokens.map((_, index) => index + 1),
      xTick: (/** @type {number} */ place) =>
        tokens.length <= 24 ? shortened(texts[place - 1] ?? "") : String(place),
      xLabel: "token",
    };
    const charts = [
      { name: "shares", title: "Share of each model", yLabel: "share", series: shareSeries(tokens) },
      { name: "weights", title: "Weight of each expert", yLabel: "weight", series: weightSeries(tokens) },
      {
        name: "divergences",
        title: "Divergence from the base",
        yLabel: "nats",
        series: divergenceSeries(tokens),
      },
    ];
    return charts.filter(({ series }) => series.length > 0).map((chart) => ({ ...shared, ...chart }));
  }
}

/**
 * Dots as well as lines, while they can be told apart.
 *
 * @param {string} label
 * @param {string} colour
 * @param {(number | null)[]} values
 * @param {Pick<Series, "dash">} style
 * @returns {Series}
 */
const line = (label, colour, values, style = {}) => ({
  label,
  colour,
  values,
  points: values.length <= 200,
  ...style,
});

/** @param {TokenRecord[]} tokens */
function shareSeries(tokens) {
  const ids = [...new Set(tokens.flatMap(({ shares }) => Object.keys(shares ?? {})))];
  return ids.map((id) => {
    const values = tokens.map(({ shares }) => shares?.[id] ?? null);
    return id === "base" ? line("base", cssColour("--quiet"), values) : line(id, colourOf(id), values);
  });
}

/** @param {TokenRecord[]} tokens */
function weightSeries(tokens) {
  return expertsOf(tokens).map((id) => {
    const values = tokens.map(({ weights }) => weights[id] ?? null);
    return line(id, colourOf(id), values);
  });
}

/** @type {("forward" | "reverse")[]} */
const directions = ["forward", "reverse"];

/** @param {TokenRecord[]} tokens */
function divergenceSeries(tokens) {
  const achieved = directions.map((key) => {
    const values = tokens.map(({ divergence }) => divergence[key]);
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
    return line(`${key} target`, cssColour(`--${key}`), values, { dash: [4, 4] });
  });
  return [moved, ...achieved, ...targets];
}

/**
 * The solver looks at the mean over the experts; null where a token had none.
 *
 * @param {TokenRecord["divergence"]} divergence
 * @param {"forward" | "reverse"} key
 */
function meanTarget({ targets }, key) {
  const values = Object.values(targets).map((target) => target[key]);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param {string} text */
const shortened = (text) => {
  const shown = text === "" ? "end" : visible(text);
  return shown.length > 7 ? `${shown.slice(0, 6)}…` : shown;
};
