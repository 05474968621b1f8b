import uPlot from "../vendor/uplot.js";
import { cssColour } from "./experts.js";

/**
 * A line chart. What it shows is plain data, which chart-svg.js draws too:
 * `{ title, x, xLabel, yLabel, xTick?, xRange?, isLive?, series: [{ label, values, colour, dash?, points? }], marks: [{ x, y, colour }] }`
 * `isLive`: where nothing is pointed at, the legend shows the last values. Dragging zooms, a double click shows
 * all again.
 */
export class LineChart {
  #element;
  #height;
  #onselect;
  #plot = null;
  #spec = null;
  #selected = null;
  #pressedAt = 0;

  constructor(element, { height = 160, onselect = null } = {}) {
    this.#element = element;
    this.#height = height;
    this.#onselect = onselect;
    new ResizeObserver(() => this.#resize()).observe(element);
    document.addEventListener("themechange", () => {
      if (!this.#spec || !element.isConnected) return;
      const zoom = this.#zoom;
      this.#make();
      if (zoom) this.#plot.setScale("x", zoom);
    });
  }

  /** @param keepsZoom the same chart with more data: what was zoomed to stays in view */
  show(spec, { keepsZoom = false } = {}) {
    const zoom = keepsZoom ? this.#zoom : null;
    const isSame = this.#plot && spec.series.length === this.#plot.series.length - 1;
    this.#spec = spec;
    if (!isSame || spec.series.some(({ label }, at) => label !== this.#plot.series[at + 1].label))
      this.#make();
    else this.#plot.setData(dataOf(spec));
    if (zoom) this.#plot.setScale("x", zoom);
  }

  /** The part of the x axis that is in view; null: all of it. */
  get #zoom() {
    if (!this.#plot) return null;
    const { min, max } = this.#plot.scales.x;
    const [x] = this.#plot.data;
    return min > x[0] || max < x.at(-1) ? { min, max } : null;
  }

  /** Draws a line at this place of the x axis. */
  select(x) {
    this.#selected = x;
    this.#plot?.redraw(false);
  }

  #make() {
    this.#plot?.destroy();
    const width = Math.max(200, this.#element.clientWidth);
    this.#plot = new uPlot(this.#options(width), dataOf(this.#spec), this.#element);
    const { over } = this.#plot;
    over.addEventListener("mousedown", (event) => (this.#pressedAt = event.clientX));
    over.addEventListener("click", (event) => {
      const { idx } = this.#plot.cursor;
      if (Math.abs(event.clientX - this.#pressedAt) < 4 && idx !== null) this.#onselect?.(idx);
    });
  }

  #options(width) {
    const { series, xLabel, yLabel, xTick, xRange, isLive } = this.#spec;
    const read = (toText) => (plot, value, at, index) => {
      const shown = index === null && isLive ? plot.data[at].findLast((last) => last !== null) : value;
      return shown === null || shown === undefined ? "–" : toText(shown);
    };
    const axis = {
      stroke: cssColour("--quiet"),
      grid: { stroke: cssColour("--line"), width: 1 },
      ticks: { stroke: cssColour("--line"), width: 1, size: 4 },
      font: "12px Inter, sans-serif",
      labelFont: "12px Inter, sans-serif",
      labelSize: 20,
    };
    return {
      width,
      height: this.#height,
      padding: [8, 12, 0, 0],
      pxAlign: 0,
      scales: { x: { time: false, ...(xRange && { range: xRange }) }, y: { range: rangeOf } },
      cursor: { points: { size: 6 }, focus: { prox: 24 }, drag: { x: true, y: false, dist: 4 } },
      axes: [
        {
          ...axis,
          label: xLabel,
          size: 28,
          space: 56,
          incrs: xTick && [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
          values: xTick && ((_, places) => places.map(xTick)),
        },
        { ...axis, label: yLabel, size: 52, space: 34 },
      ],
      series: [
        { label: xLabel, value: read((value) => xTick?.(value) ?? value.toFixed(2)) },
        ...series.map(({ label, colour, dash, points }) => ({
          label,
          stroke: colour,
          width: 1.75,
          dash,
          points: { show: points ?? false, size: 5, fill: colour },
          value: read((value) => value.toPrecision(3)),
        })),
      ],
      hooks: {
        ready: [({ ctx }) => ctx.canvas.setAttribute("role", "img")],
        draw: [(plot) => this.#drawMarks(plot), (plot) => this.#say(plot)],
      },
    };
  }

  /** What the picture is of, for who does not see it. */
  #say({ ctx, scales: { x } }) {
    const { title, xLabel } = this.#spec;
    const [from, to] = [x.min, x.max].map((value) => Number(value.toFixed(2)));
    ctx.canvas.setAttribute("aria-label", `${title}: ${xLabel} ${from} to ${to}`);
  }

  #drawMarks({ ctx, bbox, valToPos }) {
    ctx.save();
    ctx.setLineDash([]);
    if (this.#selected !== null) {
      const x = valToPos.call(this.#plot, this.#selected, "x", true);
      ctx.strokeStyle = cssColour("--text");
      ctx.globalAlpha = 0.5;
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      if (x >= bbox.left && x <= bbox.left + bbox.width) ctx.stroke();
      ctx.globalAlpha = 1;
    }
    for (const mark of this.#spec.marks ?? []) {
      ctx.beginPath();
      const [x, y] = [this.#plot.valToPos(mark.x, "x", true), this.#plot.valToPos(mark.y, "y", true)];
      ctx.arc(x, y, 5 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.fillStyle = mark.colour;
      ctx.strokeStyle = cssColour("--surface");
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  #resize() {
    const width = this.#element.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width)
      this.#plot.setSize({ width, height: this.#height });
  }
}

const dataOf = ({ x, series }) => [x, ...series.map(({ values }) => values)];

/** A range from 0, or lower where there is anything lower, with some room above. */
export function rangeOf(_, low, high) {
  const top = high === null || high <= 0 ? 1 : high * 1.08;
  return [Math.min(0, low ?? 0), top];
}
