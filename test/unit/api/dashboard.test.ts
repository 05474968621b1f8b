import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Metrics } from "../../../src/api/metrics.js";
import { FakeEngine } from "../../support/fake-engine.js";

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}

it("the Grafana dashboard asks only for metrics that the server has", async () => {
  const url = new URL("../../../deploy/grafana/dashboards/shoulders.json", import.meta.url);
  const { panels } = JSON.parse(readFileSync(url, "utf8")) as Dashboard;
  const metrics = await new Metrics(new FakeEngine()).registry.getMetricsAsJSON();
  const known = new Set(metrics.map(({ name }) => name));
  const asked = panels
    .flatMap(({ targets }) => targets)
    .flatMap(({ expr }) => expr.match(/\b(?:shoulders|process)_\w+/g) ?? [])
    .map((name) => name.replace(/_(?:bucket|sum|count)$/, ""));
  expect(panels.length).toBeGreaterThan(10);
  expect([...new Set(asked)].filter((name) => !known.has(name))).toEqual([]);
});
