// @ts-check
import { cssColour } from "./experts.js";

/**
 * A line chart as an SVG picture: the same on the page and in a file. What it shows is plain data.
 *
 * @typedef {object} Series
 * @property {string} label
 * @property {(number | null)[]} values
 * @property {string} colour
 * @property {number[]} [dash]
 * @property {boolean} [points] dots as well as a line
 *
 * @typedef {object} Chart
 * @property {string} [name]
 * @property {string} title
 * @property {number[]} x grows
 * @property {string} xLabel
 * @property {string} yLabel
 * @property {(x: number) => string} [xTick] of a whole number; left out: x is shown as it is
 * @property {(low: number, high: number) => [number, number]} [xRange]
 * @property {boolean} [isLive] where nothing is pointed at, the legend shows the last values
 * @property {Series[]} series
 * @property {{ x: number; y: number | null; colour: string }[]} [marks]
 *
 * @typedef {object} View
 * @property {number} width
 * @property {number} height
 * @property {boolean} [hasHead] title and legend are in the picture
 * @property {[number, number] | null} [zoom] the part of the x axis that is in view
 * @property {number | null} [selected] where a line is drawn
 */

const namespace = "http://www.w3.org/2000/svg";
const [left, right, bottom] = [60, 14, 42];

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {(Node | string)[]} children
 */
function svg(name, attributes, ...children) {
  const node = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/**
 * Charts as one picture, one above the other, for papers and slides.
 *
 * @param {Chart[]} charts
 */
export function chartsSvg(charts) {
  const [width, height] = [900, 340];
  const parts = charts.map((chart, at) => {
    const part = chartSvg(chart, { width, height, hasHead: true }).element;
    part.setAttribute("y", String(at * height));
    return part;
  });
  const total = height * charts.length;
  const viewBox = `0 0 ${width} ${total}`;
  return new XMLSerializer().serializeToString(svg("svg", { viewBox, width, height: total }, ...parts));
}

/**
 * @param {Chart} chart
 * @param {View} view
 */
export function chartSvg(chart, view) {
  const { width, height, hasHead = false, selected = null } = view;
  const scales = scalesOf(chart, view);
  const { top, plotWidth, plotHeight, toX, toY } = scales;
  // A picture within the picture cuts off what is not in view.
  const plot = svg("svg", { x: left, y: top, width: plotWidth, height: plotHeight });
  for (const { values, colour, dash, points } of chart.series) {
    const places = values.flatMap((value, at) =>
      value === null ? [] : [[toX(/** @type {number} */ (chart.x[at])), toY(value)]],
    );
    const line = { fill: "none", stroke: colour, "stroke-width": hasHead ? 2 : 1.75 };
    const path = places.map((place) => place.map((value) => value.toFixed(1)).join(",")).join(" ");
    plot.append(
      svg("polyline", { ...line, points: path, ...(dash && { "stroke-dasharray": dash.join(" ") }) }),
    );
    if (points)
      plot.append(...places.map(([cx = 0, cy = 0]) => svg("circle", { cx, cy, r: 2.5, fill: colour })));
  }
  for (const { x, y, colour } of chart.marks ?? [])
    if (y !== null)
      plot.append(
        svg("circle", {
          cx: toX(x),
          cy: toY(y),
          r: 5,
          fill: colour,
          stroke: cssColour("--surface"),
          "stroke-width": 2,
        }),
      );
  if (selected !== null) plot.append(verticalLine(toX(selected), plotHeight));
  const element = svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      "font-family": "Inter, Helvetica, Arial, sans-serif",
      "font-size": hasHead ? 13 : 12,
    },
    ...(hasHead ? headOf(chart) : []),
    ...axesOf(chart, scales),
    plot,
  );
  return { element, scales };
}

/** @param {number} x @param {number} height */
const verticalLine = (x, height) =>
  svg("line", { x1: x, x2: x, y1: 0, y2: height, stroke: cssColour("--text"), "stroke-opacity": 0.5 });

/**
 * @param {Chart} chart
 * @param {View} view
 */
function scalesOf({ x, series, xRange }, { width, height, hasHead = false, zoom = null }) {
  const [first, last] = [x[0] ?? 0, x.at(-1) ?? 0];
  const [from, end] = zoom ?? xRange?.(first, last) ?? [first, last];
  const to = end > from ? end : from + 1;
  const isSeen = (/** @type {unknown} */ _, /** @type {number} */ at) =>
    zoom === null || (Number(x[at]) >= from && Number(x[at]) <= to);
  // No spread over the values: a long answer has more than a call takes arguments.
  let [low, high] = [0, 0];
  for (const { values } of series)
    for (const value of values.filter(isSeen)) {
      low = Math.min(low, value ?? 0);
      high = Math.max(high, value ?? 0);
    }
  high = high > 0 ? high * 1.08 : 1;
  const top = hasHead ? 64 : 8;
  const [plotWidth, plotHeight] = [width - left - right, height - top - bottom];
  return {
    from,
    to,
    low,
    high,
    top,
    plotWidth,
    plotHeight,
    toX: (/** @type {number} */ value) => ((value - from) / (to - from)) * plotWidth,
    toY: (/** @type {number} */ value) => (1 - (value - low) / (high - low)) * plotHeight,
    /** What lies at a place of the picture. */
    fromX: (/** @type {number} */ place) => from + ((place - left) / plotWidth) * (to - from),
  };
}

/** @param {Chart} chart */
function headOf({ title, series }) {
  let at = left;
  const legend = series.flatMap(({ label: text, colour, dash }) => {
    const line = { x1: at, x2: at + 22, y1: 46, y2: 46, stroke: colour, "stroke-width": 3 };
    const parts = [
      svg("line", { ...line, ...(dash && { "stroke-dasharray": "4 3" }) }),
      label(text, { x: at + 28, y: 50 }, "--text"),
    ];
    at += 52 + text.length * 7;
    return parts;
  });
  return [
    svg("rect", { width: "100%", height: "100%", fill: cssColour("--surface") }),
    label(title, { x: left, y: 28, "font-size": 16, "font-weight": 600 }, "--text"),
    ...legend,
  ];
}

/**
 * @param {Chart} chart
 * @param {ReturnType<typeof scalesOf>} scales
 */
function axesOf({ xTick, xLabel, yLabel }, { from, to, low, high, top, plotWidth, plotHeight, toX, toY }) {
  const foot = top + plotHeight;
  const middle = top + plotHeight / 2;
  const rows = ticks(low, high, plotHeight / 34).flatMap((value) => {
    const y = top + toY(value);
    return [
      svg("line", { x1: left, x2: left + plotWidth, y1: y, y2: y, stroke: cssColour("--line") }),
      label(shown(value), { x: left - 8, y: y + 4, "text-anchor": "end" }),
    ];
  });
  const columns = ticks(from, to, plotWidth / 56, xTick ? 1 : 0).map((value) =>
    label(xTick ? xTick(value) : shown(value), {
      x: left + toX(value),
      y: foot + 18,
      "text-anchor": "middle",
    }),
  );
  return [
    ...rows,
    ...columns,
    label(xLabel, { x: left + plotWidth / 2, y: foot + 36, "text-anchor": "middle" }),
    label(yLabel, { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }),
  ];
}

/** @param {number} value */
const shown = (value) => String(Number(value.toPrecision(6)));

/**
 * Round numbers of a range, `most` of them or a few more.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} most
 */
function ticks(low, high, most, leastStep = 0) {
  const rough = (high - low) / Math.max(1, most) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(leastStep, power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10));
  const first = Math.ceil(low / step);
  return Array.from(
    { length: Math.max(0, Math.floor(high / step) - first + 1) },
    (_, at) => (first + at) * step,
  );
}

/**
 * @param {string} text
 * @param {Record<string, string | number>} attributes
 */
const label = (text, attributes, colour = "--quiet") =>
  svg("text", { fill: cssColour(colour), ...attributes }, text);
