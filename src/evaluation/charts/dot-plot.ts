import type { Method, MethodKind } from "../methods/method.js";
import type { MethodFigures } from "../figures.js";
import type { Report } from "../report.js";
import { chartTitle, ink, numberAxis, panelFoot, panelTitle, panelTop, renderSvg } from "./svg.js";

/** Colours of Okabe and Ito's palette, which people with any colour vision can tell apart. */
const kindToMark = {
  alone: { colour: "#6e6e6e", label: "one model alone" },
  static: { colour: "#0072b2", label: "fixed weight" },
  dynamic: { colour: "#d55e00", label: "solved weight" },
  several: { colour: "#009e73", label: "all experts" },
  mixture: { colour: "#8c564b", label: "mixture" },
  merged: { colour: "#cc79a7", label: "merged expert" },
  examples: { colour: "#e69f00", label: "with examples" },
  tuned: { colour: "#000000", label: "tuned base" },
  configured: { colour: "#56b4e9", label: "as configured" },
} satisfies Record<MethodKind, { colour: string; label: string }>;

/** Pixels. */
const panelWidth = 230;
const panelGap = 26;
const rowHeight = 20;

interface Dot {
  value: number;
  /** Ends of the interval; equal to the value where there is none. */
  low: number;
  high: number;
}

interface DotPlot {
  title: string;
  subtitle: string;
  axis: string;
  range: readonly [low: number, high: number];
  /** Between the marks of the axis. */
  interval: number;
  methods: readonly Method[];
  dotOf: (figures: MethodFigures) => Dot | null;
  /** Dashed lines of a task. */
  linesOf: (figures: Record<string, MethodFigures>) => { value: number; colour: string }[];
}

interface RenderApi {
  value: (dimension: number) => number;
  coord: (point: number[]) => number[];
}

/** A thin bar from low (dimension 0) to high (1) on the method's row (2). */
const intervalRenderer =
  (colour: string) =>
  (_: unknown, api: RenderApi): object => {
    const [x1 = 0, y1 = 0] = api.coord([api.value(0), api.value(2)]);
    const [x2 = 0] = api.coord([api.value(1), api.value(2)]);
    return {
      type: "line",
      shape: { x1, y1, x2, y2: y1 },
      style: { stroke: colour, lineWidth: 2, opacity: 0.55 },
    };
  };

const dashed = (lines: readonly { value: number; colour: string }[]): object => ({
  silent: true,
  symbol: "none",
  label: { show: false },
  data: lines.map(({ value, colour }) => ({
    xAxis: value,
    lineStyle: { color: colour, type: "dashed", width: 1.2 },
  })),
});

/** The dots of one kind of methods in one panel, with their intervals beneath. */
function dotSeries(kind: MethodKind, panel: number, dots: readonly (Dot & { row: number })[]): object[] {
  const { colour, label } = kindToMark[kind];
  const axes = { xAxisIndex: panel, yAxisIndex: panel, silent: true };
  return [
    {
      type: "custom",
      ...axes,
      data: dots.map(({ low, high, row }) => [low, high, row]),
      encode: { x: [0, 1], y: 2 },
      renderItem: intervalRenderer(colour),
    },
    {
      type: "scatter",
      name: label,
      ...axes,
      symbolSize: 9,
      itemStyle: { color: colour, opacity: 1 },
      data: dots.map(({ value, row }) => [value, row]),
    },
  ];
}

/** A panel for each task, a row for each method, the first at the top; null where there is no dot. */
function dotPlot(report: Report, plot: DotPlot): string | null {
  const tasks = Object.keys(report.tasks);
  const [least, most] = plot.range;
  const clip = (value: number): number => Math.min(most, Math.max(least, value));
  const dotFor = (task: string, { name }: Method): Dot | null => {
    const figures = report.tasks[task]?.[name];
    const dot = figures === undefined ? null : plot.dotOf(figures);
    return dot && { value: clip(dot.value), low: clip(dot.low), high: clip(dot.high) };
  };
  const rows = plot.methods.filter((method) => tasks.some((task) => dotFor(task, method) !== null));
  if (rows.length === 0) return null;
  const height = rows.length * rowHeight;
  const kinds = [...new Set(rows.map(({ kind }) => kind))];
  const marks = kinds.map((kind) => kindToMark[kind]);
  const labelWidth = 24 + 7 * Math.max(...rows.map(({ name }) => name.length));
  const leftOf = (panel: number): number => labelWidth + panel * (panelWidth + panelGap);
  const names = rows.map(({ name }) => name);
  const option = {
    title: [
      chartTitle(plot.title, plot.subtitle),
      ...tasks.map((task, panel) => panelTitle(task, leftOf(panel) + panelWidth / 2, panelTop)),
    ],
    legend: {
      bottom: 8,
      left: "center",
      itemWidth: 10,
      itemHeight: 10,
      data: marks.map(({ colour, label }) => ({ name: label, icon: "circle", itemStyle: { color: colour } })),
    },
    grid: tasks.map((_, panel) => ({ left: leftOf(panel), top: panelTop, width: panelWidth, height })),
    xAxis: tasks.map((_, panel) => ({
      ...numberAxis(panel, plot.axis, true),
      min: least,
      max: most,
      interval: plot.interval,
    })),
    yAxis: tasks.map((_, panel) => methodAxis(panel, names)),
    series: tasks.flatMap((task, panel) => [
      ...kinds.flatMap((kind) => {
        const dots = rows.flatMap((method, row) => {
          const dot = method.kind === kind ? dotFor(task, method) : null;
          return dot === null ? [] : [{ ...dot, row }];
        });
        return dotSeries(kind, panel, dots);
      }),
      {
        type: "scatter",
        xAxisIndex: panel,
        yAxisIndex: panel,
        data: [],
        markLine: dashed(plot.linesOf(report.tasks[task] ?? {})),
      },
    ]),
  };
  return renderSvg(option, leftOf(tasks.length) - panelGap + 24, panelTop + height + panelFoot);
}

/** Only the first panel names the methods. */
const methodAxis = (panel: number, names: readonly string[]): object => ({
  type: "category",
  gridIndex: panel,
  data: names,
  inverse: true,
  axisTick: { show: false },
  axisLine: { lineStyle: { color: "#999999" } },
  axisLabel: { show: panel === 0, color: ink, interval: 0 },
  splitLine: { show: true, lineStyle: { color: "#f3f3f3" } },
});

/** Score of every method on every task, with its interval; dashed: the base alone (grey), the tuned one (black). */
export function scoreChart(report: Report, methods: readonly Method[]): string | null {
  return dotPlot(report, {
    title: "Score by task and method",
    subtitle: "Mean and 95 % interval. Dashed: base alone (grey), tuned base (black).",
    axis: "score",
    range: [0, 1],
    interval: 0.2,
    methods,
    dotOf: ({ score, low, high }) =>
      score === null ? null : { value: score, low: low ?? score, high: high ?? score },
    linesOf: (figures) =>
      (["giant", "tuned-giant"] as const).flatMap((name) => {
        const value = figures[name]?.score ?? null;
        return value === null ? [] : [{ value, colour: name === "giant" ? "#6e6e6e" : "#000000" }];
      }),
  });
}

/** PGR of every method on every task; null where no tuned base tells how large the gap is. */
export function gapChart(report: Report, methods: readonly Method[]): string | null {
  return dotPlot(report, {
    title: "Gap recovered by task and method",
    subtitle: "PGR = (score − base alone) ÷ (tuned base − base alone), cut at −0.5 and 1.5. Dashed: 0 and 1.",
    axis: "PGR",
    range: [-0.5, 1.5],
    interval: 0.5,
    methods: methods.filter(({ name, kind }) => name !== "giant" && kind !== "tuned"),
    dotOf: ({ pgr, pgrLow, pgrHigh }) =>
      pgr === null ? null : { value: pgr, low: pgrLow ?? pgr, high: pgrHigh ?? pgr },
    linesOf: () => [
      { value: 0, colour: "#6e6e6e" },
      { value: 1, colour: "#000000" },
    ],
  });
}
