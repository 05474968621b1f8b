import { CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from "echarts/components";
import { type EChartsCoreOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([
  CustomChart,
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TitleComponent,
  SVGRenderer,
]);

export const ink = "#222222";
const quiet = "#555555";
const faint = "#e3e3e3";

/** Where the panels begin, below the headings, and what is left below them for axis and legend; pixels. */
export const panelTop = 92;
export const panelFoot = 84;

/** Draws a chart on a white ground, without a browser. */
export function renderSvg(option: EChartsCoreOption, width: number, height: number): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  const textStyle = { fontFamily: "Helvetica, Arial, sans-serif", color: ink };
  chart.setOption({ animation: false, backgroundColor: "#ffffff", textStyle, ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

export const chartTitle = (text: string, subtext: string): object => ({
  text,
  subtext,
  left: 16,
  top: 10,
  textStyle: { fontSize: 17, fontWeight: "bold", color: ink },
  subtextStyle: { fontSize: 12, color: quiet },
});

/** Centred over the panel whose middle and top these are. */
export const panelTitle = (text: string, middle: number, top: number): object => ({
  text,
  left: middle,
  top: top - 26,
  textAlign: "center",
  textStyle: { fontSize: 13, fontWeight: "bold", color: ink },
});

/** A number axis with its name under its middle. */
export const numberAxis = (panel: number, name: string, showsLines: boolean): object => ({
  type: "value",
  gridIndex: panel,
  name,
  nameLocation: "middle",
  nameGap: 26,
  nameTextStyle: { color: quiet },
  splitLine: { show: showsLines, lineStyle: { color: faint } },
  axisLabel: { color: quiet },
});
