// @ts-check
import { chartSvg } from "./chart-svg.js";
import { fill, h, oncePerPicture } from "./dom.js";

/** Pixels that a press may move and still be a click. */
const stillness = 4;

/** A chart on the page. Pointing at it shows values, a click selects, dragging zooms, a double click shows all again. */
export class LineChart {
  #element;
  #height;
  #onselect;
  #picture = h("div", { class: "picture" });
  #legend = h("ul", { class: "chart-legend" });
  #band = h("i", { class: "band", hidden: true });
  /** @type {import("./chart-svg.js").Chart | null} */
  #chart = null;
  /** @type {ReturnType<typeof chartSvg>["scales"] | null} */
  #scales = null;
  /** @type {[number, number] | null} */
  #zoom = null;
  /** @type {number | null} */
  #selected = null;
  /** Where a press began, in pixels from the left; null: there is none. */
  #pressedAt = /** @type {number | null} */ (null);
  /** Once for all that changes before the next picture of the page. */
  #drawSoon = oncePerPicture(() => this.#draw());

  /**
   * @param {HTMLElement} element
   * @param {{ height?: number; onselect?: ((index: number) => void) | null }} options
   */
  constructor(element, { height = 160, onselect = null } = {}) {
    this.#element = element;
    this.#height = height;
    this.#onselect = onselect;
    element.append(this.#picture, this.#legend);
    this.#picture.addEventListener("pointerdown", (event) => this.#press(event));
    this.#picture.addEventListener("pointermove", (event) => this.#move(event));
    this.#picture.addEventListener("pointerup", (event) => this.#release(event));
    this.#picture.addEventListener("pointerleave", () => this.#showValues(null));
    this.#picture.addEventListener("dblclick", () => this.#zoomTo(null));
    new ResizeObserver(() => this.#drawSoon()).observe(element);
    document.addEventListener("themechange", () => this.#drawSoon());
  }

  /**
   * @param {import("./chart-svg.js").Chart} chart
   * @param {{ keepsZoom?: boolean }} options the same chart with more data: what was zoomed to stays in view
   */
  show(chart, { keepsZoom = false } = {}) {
    if (!keepsZoom) this.#zoom = null;
    this.#chart = chart;
    this.#drawSoon();
  }

  /**
   * Draws a line at this place of the x axis.
   *
   * @param {number | null} x
   */
  select(x) {
    this.#selected = x;
    this.#drawSoon();
  }

  #draw() {
    const width = this.#element.clientWidth;
    if (this.#chart === null || width === 0) return;
    const { title, xLabel } = this.#chart;
    const view = { width, height: this.#height, zoom: this.#zoom, selected: this.#selected };
    const { element, scales } = chartSvg(this.#chart, view);
    this.#scales = scales;
    const [from, to] = [scales.from, scales.to].map((value) => Number(value.toFixed(2)));
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", `${title}: ${xLabel} ${from} to ${to}`);
    fill(this.#picture, element, this.#band);
    this.#showValues(null);
  }

  /** @param {number | null} index of the values in the legend; null: nothing is pointed at */
  #showValues(index) {
    if (this.#chart === null) return;
    const { series, isLive, x, xLabel, xTick } = this.#chart;
    const place = index === null ? undefined : x[index];
    const valueAt = (/** @type {(number | null)[]} */ values) =>
      index === null ? (isLive ? values.findLast((value) => value !== null) : null) : values[index];
    fill(
      this.#legend,
      place !== undefined && h("li", null, `${xLabel} `, h("b", null, xTick?.(place) ?? place.toFixed(2))),
      series.map(({ label, colour, values }) =>
        h(
          "li",
          { vars: { "--line": colour } },
          h("i", null),
          `${label} `,
          h("b", null, valueAt(values)?.toPrecision(3) ?? "–"),
        ),
      ),
    );
  }

  /** @param {PointerEvent} event */
  #placeOf({ clientX }) {
    return clientX - this.#picture.getBoundingClientRect().left;
  }

  /** The index of what is nearest to a place. @param {number} place */
  #indexAt(place) {
    const { x = [] } = this.#chart ?? {};
    const value = this.#scales?.fromX(place) ?? 0;
    const above = x.findIndex((candidate) => candidate >= value);
    if (above < 0) return x.length - 1;
    const [before, after] = [x[above - 1] ?? -Infinity, x[above] ?? 0];
    return value - before < after - value ? above - 1 : above;
  }

  /** @param {PointerEvent} event */
  #press(event) {
    this.#pressedAt = this.#placeOf(event);
    this.#picture.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const place = this.#placeOf(event);
    this.#showValues(this.#indexAt(place));
    const from = this.#pressedAt;
    this.#band.hidden = from === null || Math.abs(place - from) < stillness;
    if (from === null) return;
    this.#band.style.left = `${Math.min(from, place)}px`;
    this.#band.style.width = `${Math.abs(place - from)}px`;
  }

  /** @param {PointerEvent} event */
  #release(event) {
    const [from, to] = [this.#pressedAt, this.#placeOf(event)];
    this.#pressedAt = null;
    this.#band.hidden = true;
    if (from === null || this.#scales === null) return;
    if (Math.abs(to - from) < stillness) this.#onselect?.(this.#indexAt(to));
    else this.#zoomTo([this.#scales.fromX(Math.min(from, to)), this.#scales.fromX(Math.max(from, to))]);
  }

  /** @param {[number, number] | null} range */
  #zoomTo(range) {
    this.#zoom = range;
    this.#drawSoon();
  }
}
