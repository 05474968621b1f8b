import { cssColour } from "./experts.js";

/** Charts (the data of chart.js) as one picture, one above the other, for papers and slides. */

const size = { width: 900, height: 340, left: 72, right: 24, top: 64, bottom: 52 };
const namespace = "http://www.w3.org/2000/svg";

export function chartsSvg(charts) {
  const height = size.height * charts.length;
  const viewBox = `0 0 ${size.width} ${height}`;
  const root = element("svg", { viewBox, width: size.width, height });
  charts.forEach((chart, at) => {
    const part = chartElement(chart);
    part.setAttribute("y", String(at * size.height));
    root.append(part);
  });
  return new XMLSerializer().serializeToString(root);
}

function chartElement({ title, x, xLabel, yLabel, xTick, series, marks = [] }) {
  const plot = scalesOf(x, series);
  const root = element("svg", {
    viewBox: `0 0 ${size.width} ${size.height}`,
    width: size.width,
    height: size.height,
    "font-family": "Inter, Helvetica, Arial, sans-serif",
    "font-size": 13,
  });
  root.append(element("rect", { width: "100%", height: "100%", fill: cssColour("--surface") }));
  root.append(label(title, { x: size.left, y: 28, "font-size": 16, "font-weight": 600 }, "--text"));
  drawLegend(root, series);
  drawAxes(root, plot, { x, xTick, xLabel, yLabel });
  for (const { values, colour, dash, points } of series) {
    const places = values.flatMap((value, at) => (value === null ? [] : [[plot.x(x[at]), plot.y(value)]]));
    root.append(
      element("polyline", {
        points: places.map((place) => place.map((value) => value.toFixed(1)).join(",")).join(" "),
        fill: "none",
        stroke: colour,
        "stroke-width": 2,
        ...(dash && { "stroke-dasharray": dash.join(" ") }),
      }),
    );
    if (points) for (const [cx, cy] of places) root.append(element("circle", { cx, cy, r: 3, fill: colour }));
  }
  for (const { x: at, y, colour } of marks)
    root.append(element("circle", { cx: plot.x(at), cy: plot.y(y), r: 6, fill: colour }));
  return root;
}

function scalesOf(x, series) {
  const values = series.flatMap((one) => one.values.filter((value) => value !== null));
  const [low, high] = [Math.min(0, ...values), Math.max(...values, 1e-9) * 1.08];
  const [from, to] = [x[0], x.at(-1) === x[0] ? x[0] + 1 : x.at(-1)];
  const [right, bottom] = [size.width - size.right, size.height - size.bottom];
  return {
    low,
    high,
    right,
    bottom,
    x: (value) => size.left + ((value - from) / (to - from)) * (right - size.left),
    y: (value) => bottom - ((value - low) / (high - low)) * (bottom - size.top),
  };
}

function drawLegend(root, series) {
  let left = size.left;
  for (const { label: text, colour, dash } of series) {
    const line = { x1: left, x2: left + 22, y1: 46, y2: 46, stroke: colour, "stroke-width": 3 };
    root.append(element("line", { ...line, ...(dash && { "stroke-dasharray": "4 3" }) }));
    root.append(label(text, { x: left + 28, y: 50 }, "--text"));
    left += 52 + text.length * 7;
  }
}

function drawAxes(root, plot, { x, xTick, xLabel, yLabel }) {
  for (const value of ticks(plot.low, plot.high, 5)) {
    const y = plot.y(value);
    root.append(
      element("line", { x1: size.left, x2: plot.right, y1: y, y2: y, stroke: cssColour("--line") }),
    );
    root.append(
      label(String(Number(value.toPrecision(6))), { x: size.left - 8, y: y + 4, "text-anchor": "end" }),
    );
  }
  const places = xTick ? x.filter((_, at) => at % Math.ceil(x.length / 24) === 0) : ticks(x[0], x.at(-1), 8);
  for (const value of places) {
    const text = xTick ? xTick(value) : String(Number(value.toPrecision(6)));
    root.append(label(text, { x: plot.x(value), y: plot.bottom + 20, "text-anchor": "middle" }));
  }
  const middle = (size.top + plot.bottom) / 2;
  root.append(
    label(xLabel, { x: (size.left + plot.right) / 2, y: size.height - 10, "text-anchor": "middle" }),
  );
  root.append(
    label(yLabel, { x: 18, y: middle, "text-anchor": "middle", transform: `rotate(-90 18 ${middle})` }),
  );
}

function ticks(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  return Array.from(
    { length: Math.max(0, Math.floor(high / step) - first + 1) },
    (_, at) => (first + at) * step,
  );
}

function label(text, attributes, colour = "--quiet") {
  const node = element("text", { fill: cssColour(colour), ...attributes });
  node.textContent = text;
  return node;
}

function element(name, attributes) {
  const node = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
