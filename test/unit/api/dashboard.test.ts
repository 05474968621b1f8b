import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { Metrics } from "../../../src/api/metrics.js";
import { FakeEngine } from "../../support/fake-engine.js";

/** What is deployed beside the server asks only for what it has. */

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}
interface Rules {
  groups: { rules: { record?: string; alert?: string; expr: string }[] }[];
}

const deployed = (file: string) => readFileSync(new URL(`../../../deploy/${file}`, import.meta.url), "utf8");
let known: Set<string>;
beforeAll(async () => {
  const metrics = await new Metrics(new FakeEngine()).registry.getMetricsAsJSON();
  known = new Set(metrics.map(({ name }) => name));
});

/** The metrics that expressions ask for, without what a histogram adds to its name. */
const namesIn = (expressions: readonly string[]) =>
  expressions
    .flatMap((expr) => expr.match(/(?<![\w:])(?:shoulders|process)_\w+/g) ?? [])
    .map((name) => name.replace(/_(?:bucket|sum|count)$/, ""));

it("the Grafana dashboard asks only for metrics that the server has", () => {
  const { panels } = JSON.parse(deployed("grafana/dashboards/shoulders.json")) as Dashboard;
  const asked = namesIn(panels.flatMap(({ targets }) => targets).map(({ expr }) => expr));
  expect(panels.length).toBeGreaterThan(10);
  expect([...new Set(asked)].filter((name) => !known.has(name))).toEqual([]);
});

it("the alerts too, or for what the rules record before them", () => {
  const rules = (parse(deployed("prometheus-rules.yml")) as Rules).groups.flatMap((group) => group.rules);
  expect(rules.flatMap(({ alert }) => alert ?? [])).toEqual([
    "ShouldersContestedTokens",
    "ShouldersUnvouchedTokens",
  ]);
  const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
  for (const { expr } of rules) {
    const asked = [...namesIn([expr]), ...(expr.match(/config:[\w:]+/g) ?? [])];
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((name) => !known.has(name) && !recorded.has(name))).toEqual([]);
  }
});
