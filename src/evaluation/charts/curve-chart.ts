import type { Curve, TaskToCurves } from "../curves.js";
import { chartTitle, ink, numberAxis, panelFoot, panelTitle, panelTop, renderSvg } from "./svg.js";

/** Okabe and Ito's palette without its yellow, which is hard to see on white. */
const colours = [
  "#d55e00",
  "#0072b2",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#6e6e6e",
  "#000000",
  "#8c564b",
];

/** Pixels; three panels in a row. */
const [left, width, height, gapX, gapY, columns] = [56, 330, 230, 50, 84, 3];

const leftOf = (panel: number): number => left + (panel % columns) * (width + gapX);
const topOf = (panel: number): number => panelTop + Math.floor(panel / columns) * (height + gapY);

/** The mean as a line over a band from the lower to the upper quartile (two stacked areas, the lower one unseen). */
function curveSeries({ name, points }: Curve, panel: number, colour: string): object[] {
  const axes = { xAxisIndex: panel, yAxisIndex: panel, symbol: "none", silent: true };
  const unseen = {
    type: "line",
    ...axes,
    stack: `${panel} ${name}`,
    stackStrategy: "all",
    lineStyle: { opacity: 0 },
  };
  return [
    { ...unseen, data: points.map(({ low }, at) => [at + 1, low]) },
    {
      ...unseen,
      areaStyle: { color: colour, opacity: 0.12 },
      data: points.map(({ low, high }, at) => [at + 1, high - low]),
    },
    {
      type: "line",
      name,
      ...axes,
      lineStyle: { width: 2.2, color: colour },
      itemStyle: { color: colour },
      data: points.map(({ mean }, at) => [at + 1, mean]),
    },
  ];
}

interface CurveChart {
  title: string;
  /** Title of the vertical axis. */
  axis: string;
  /** Ends of the vertical axis; left out: as the curves need. */
  range?: readonly [low: number, high: number];
  curves: TaskToCurves;
}

/** Numbers at each token of the answers, a panel for each task; null where there is no curve. */
export function curveChart({ title, axis, range, curves: taskToCurves }: CurveChart): string | null {
  const panels = [...taskToCurves].filter(([, curves]) => curves.length > 0);
  if (panels.length === 0) return null;
  const names = [...new Set(panels.flatMap(([, curves]) => curves.map(({ name }) => name)))];
  const colourOf = (name: string): string => colours[names.indexOf(name) % colours.length] ?? ink;
  const numTokens = (curves: readonly Curve[]): number =>
    Math.max(2, ...curves.map(({ points }) => points.length));
  const option = {
    title: [
      chartTitle(title, `Mean ${axis} at each token of the answer; band: the middle half of the answers.`),
      ...panels.map(([task], panel) => panelTitle(task, leftOf(panel) + width / 2, topOf(panel))),
    ],
    legend: { bottom: 8, left: "center", itemWidth: 18, icon: "roundRect", itemHeight: 4, data: names },
    grid: panels.map((_, panel) => ({ left: leftOf(panel), top: topOf(panel), width, height })),
    xAxis: panels.map(([, curves], panel) => ({
      ...numberAxis(panel, "token of the answer", false),
      min: 1,
      max: numTokens(curves),
      minInterval: 1,
    })),
    yAxis: panels.map((_, panel) => ({
      ...numberAxis(panel, panel % columns === 0 ? axis : "", true),
      ...(range && { min: range[0], max: range[1] }),
    })),
    series: panels.flatMap(([, curves], panel) =>
      curves.flatMap((curve) => curveSeries(curve, panel, colourOf(curve.name))),
    ),
  };
  const inRow = Math.min(panels.length, columns);
  return renderSvg(option, leftOf(inRow - 1) + width + 24, topOf(panels.length - 1) + height + panelFoot);
}
