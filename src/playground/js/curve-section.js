// @ts-check
import { LineChart } from "./chart.js";
import { fill, h } from "./dom.js";
import { colourOf, cssColour } from "./experts.js";

/** @import { CurveRecord, TokenRecord } from "../../wire/token-record.js" */

/** J along each expert's axis, and the F and R that make it, with the solution marked. */
export class CurveSection {
  element = h("section", { class: "card wide" });
  /** @type {Map<string, CurveRow>} */
  #rows = new Map();

  /**
   * @param {TokenRecord} record
   * @param {Record<string, CurveRecord>} curves
   */
  show(record, curves) {
    const rows = Object.entries(curves).map(([id, curve]) => ({ row: this.#row(id), curve }));
    fill(
      this.element,
      h("h3", null, "Along each expert's axis"),
      h(
        "p",
        { class: "hint" },
        "All other weights 0. Left the objective J, right the divergences; dashed: targets; dot: the solution.",
      ),
      rows.map(({ row }) => row.element),
    );
    for (const { row, curve } of rows) row.show(record, curve);
  }

  /** @param {string} id */
  #row(id) {
    const row = this.#rows.get(id) ?? new CurveRow(id);
    this.#rows.set(id, row);
    return row;
  }
}

class CurveRow {
  #id;
  #left = h("div", { class: "chart" });
  #right = h("div", { class: "chart" });
  #objective = new LineChart(this.#left, { height: 210 });
  #divergences = new LineChart(this.#right, { height: 210 });

  /** @param {string} id */
  constructor(id) {
    this.#id = id;
    this.element = h("div", { class: "curve-row", "data-curve": id }, this.#left, this.#right);
  }

  /**
   * @param {TokenRecord} record
   * @param {CurveRecord} curve
   */
  show({ weights, chosen, objective, divergence }, { alphas, forward, reverse, objective: values }) {
    const id = this.#id;
    const { [id]: x = 0 } = weights;
    const isOnAxis = Object.keys(weights).every((other) => other === id || weights[other] === 0);
    const mark = (/** @type {number | null} */ y, /** @type {string} */ colour) =>
      isOnAxis ? [{ x, y, colour }] : [];
    const shared = { x: alphas, xLabel: `weight of ${id}${chosen === id ? " (chosen)" : ""}` };
    const [f, r] = [cssColour("--forward"), cssColour("--reverse")];
    const target = (/** @type {"forward" | "reverse"} */ key) =>
      alphas.map(() => divergence.targets[id]?.[key] ?? null);
    this.#objective.show({
      ...shared,
      title: `Objective along ${id}`,
      yLabel: "J, nats²",
      series: [{ label: "J", colour: colourOf(id), values }],
      marks: mark(objective, colourOf(id)),
    });
    this.#divergences.show({
      ...shared,
      title: `Divergences along ${id}`,
      yLabel: "nats",
      series: [
        { label: "forward", colour: f, values: forward },
        { label: "reverse", colour: r, values: reverse },
        { label: "F target", colour: f, values: target("forward"), dash: [4, 4] },
        { label: "R target", colour: r, values: target("reverse"), dash: [4, 4] },
      ],
      marks: [...mark(divergence.forward, f), ...mark(divergence.reverse, r)],
    });
  }
}
