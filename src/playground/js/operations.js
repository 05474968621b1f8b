// @ts-check
import { getJson, getText } from "./api.js";
import { LineChart } from "./chart.js";
import { fill, h, table } from "./dom.js";
import { cssColour } from "./experts.js";
import { bytes, count, milliseconds, percent, reasonOf } from "./format.js";
import { meanBetween, parseMetrics, total } from "./prometheus.js";

/** @import { ConfigBody, ConfigList, ModelBody } from "../../wire/config.js" */
/** @import { Labels, Metrics } from "./prometheus.js" */

/**
 * What is drawn of one reading; times in seconds, null where nothing was measured.
 *
 * @typedef {object} Point
 * @property {number} at
 * @property {number} tokensPerSecond
 * @property {Record<string, number | null>} decode by model
 * @property {number | null} solve
 */

const intervalMs = 2000;
const mostReadings = 150;

/** What the server is doing, read from its metrics every two seconds while the view is open. */
export class OperationsView {
  /** @type {{ at: number; metrics: Metrics }[]} */
  #readings = [];
  /** @type {Point[]} */
  #points = [];
  /** @type {ConfigBody[]} */
  #configs = [];
  /** @type {number | undefined} */
  #timer;
  #tiles = h("div", { class: "tiles" });
  #models = h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Models" });
  #memory = h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Memory" });
  #warnings = h("ul", { class: "warnings" });
  #warningCard = h("section", { class: "card", hidden: true }, h("h2", null, "Warnings"), this.#warnings);
  #failure = h("p", { class: "failure", role: "alert", hidden: true });
  #rate = h("div", { class: "chart" });
  #step = h("div", { class: "chart" });
  #rateChart = new LineChart(this.#rate, { height: 200 });
  #stepChart = new LineChart(this.#step, { height: 200 });

  constructor() {
    this.element = h(
      "div",
      { class: "page" },
      h("h1", null, "Operations"),
      h(
        "p",
        { class: "lead" },
        "Live from this server's metrics, every two seconds while this page is open.",
      ),
      this.#failure,
      this.#tiles,
      h(
        "div",
        { class: "pair" },
        h("section", { class: "card" }, h("h2", null, "Tokens a second"), this.#rate),
        h("section", { class: "card" }, h("h2", null, "Time of a step"), this.#step),
      ),
      this.#warningCard,
      h("section", { class: "card" }, h("h2", null, "Models"), this.#models),
      h("section", { class: "card" }, h("h2", null, "Memory, as planned"), this.#memory),
    );
  }

  show() {
    void this.#read();
    this.#timer ??= setInterval(() => void this.#read(), intervalMs);
  }

  hide() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #read() {
    try {
      const [text, configs] = await Promise.all([getText("metrics"), getJson("v1/fusion/configs")]);
      this.#configs = /** @type {ConfigList} */ (configs).data;
      this.#readings.push({ at: performance.now() / 1000, metrics: parseMetrics(text) });
      this.#readings.splice(0, this.#readings.length - mostReadings);
      this.#failure.hidden = true;
      this.#update();
    } catch (error) {
      this.#failure.textContent = reasonOf(error);
      this.#failure.hidden = false;
    }
  }

  #update() {
    const [before, now] = [this.#readings.at(-2) ?? this.#readings[0], this.#readings.at(-1)];
    if (!before || !now) return;
    const seconds = Math.max(0.1, now.at - before.at);
    const delta = (/** @type {string} */ name) => total(now.metrics, name) - total(before.metrics, name);
    // Counted at every token; the total of generated tokens only grows when an answer ends.
    const tokensPerSecond = delta("shoulders_decided_tokens_total") / seconds;
    const mean = (/** @type {string} */ name, /** @type {Labels} */ labels) =>
      meanBetween(before.metrics, now.metrics, name, labels);
    const decoded = now.metrics.get("shoulders_decode_seconds_count") ?? [];
    this.#points.push({
      at: now.at,
      tokensPerSecond,
      decode: Object.fromEntries(
        decoded.map(({ labels }) => [labels["model"] ?? "", mean("shoulders_decode_seconds", labels)]),
      ),
      solve: mean("shoulders_solve_seconds", {}),
    });
    this.#points.splice(0, this.#points.length - mostReadings);
    this.#showTiles(now.metrics, tokensPerSecond);
    this.#showCharts();
    this.#showModels(now.metrics);
    this.#showMemory(now.metrics);
    this.#showWarnings();
  }

  /** What is probably wrong with a config, and what to do. */
  #showWarnings() {
    const items = this.#configs.flatMap(({ id, warnings }) =>
      warnings.map(({ code, message, advice }) =>
        h(
          "li",
          { "data-code": code },
          h("b", null, `${id}: `),
          `${message}. `,
          h("span", { class: "quiet" }, advice),
        ),
      ),
    );
    this.#warningCard.hidden = items.length === 0;
    fill(this.#warnings, items);
  }

  /**
   * @param {Metrics} metrics
   * @param {number} tokensPerSecond
   */
  #showTiles(metrics, tokensPerSecond) {
    const meanOf = (/** @type {string} */ name, /** @type {Labels} */ labels) =>
      total(metrics, `${name}_sum`, labels) / total(metrics, `${name}_count`, labels);
    const ms = (/** @type {number} */ seconds) =>
      Number.isFinite(seconds) ? milliseconds(seconds * 1000) : "–";
    const lifetime = (/** @type {string} */ name) => ms(meanOf(name, {}));
    const models = (metrics.get("shoulders_decode_seconds_count") ?? []).map(({ labels }) => labels);
    const decode = models.reduce((sum, labels) => sum + meanOf("shoulders_decode_seconds", labels), 0);
    const rate = (/** @type {string} */ part, /** @type {string} */ whole) =>
      total(metrics, `shoulders_${part}_total`) / total(metrics, `shoulders_${whole}_total`);
    const perPass = rate("generated_tokens", "base_passes");
    const right = rate("spec_decode_num_accepted_tokens", "spec_decode_num_draft_tokens");
    /** @type {[name: string, value: string | number, note: string][]} */
    const tiles = [
      ["Tokens a second", tokensPerSecond.toFixed(1), "now"],
      ["Sequences", total(metrics, "shoulders_sequences_running"), "running"],
      ["Queue", total(metrics, "shoulders_requests_waiting"), "waiting"],
      ["First token", lifetime("shoulders_time_to_first_token_seconds"), "mean since start"],
      ["Decode", ms(models.length > 0 ? decode : NaN), "a step, all models, mean since start"],
      ["Solve", lifetime("shoulders_solve_seconds"), "a step, mean since start"],
      ["Base", Number.isFinite(perPass) ? perPass.toFixed(1) : "–", "tokens a pass, since start"],
      ["Guesses", Number.isFinite(right) ? percent(right) : "–", "right, since start"],
      ["Tokens", count(total(metrics, "shoulders_generated_tokens_total")), "since start"],
      ["Engine memory", bytes(total(metrics, "shoulders_engine_resident_memory_bytes")), "resident"],
      ["Server memory", bytes(total(metrics, "process_resident_memory_bytes")), "resident"],
      ["Engine restarts", total(metrics, "shoulders_engine_restarts_total"), "since start"],
    ];
    fill(
      this.#tiles,
      tiles.map(([name, value, note]) =>
        h(
          "div",
          { class: "tile", "data-tile": name },
          h("span", null, name),
          h("b", null, String(value)),
          h("small", { class: "quiet" }, note),
        ),
      ),
    );
  }

  #showCharts() {
    const { at: end = 0, decode: decoded = {} } = this.#points.at(-1) ?? {};
    const x = this.#points.map(({ at }) => at - end);
    const shared = {
      x,
      xLabel: "seconds ago",
      xTick: (/** @type {number} */ second) => String(Math.abs(Math.round(second))),
      xRange: sinceAMinute,
      isLive: true,
    };
    const colour = (/** @type {number} */ index) => cssColour(`--expert-${index % 7}`);
    this.#rateChart.show({
      ...shared,
      title: "Tokens a second",
      yLabel: "tokens",
      series: [
        {
          label: "tokens a second",
          colour: colour(2),
          values: this.#points.map((point) => point.tokensPerSecond),
          points: true,
        },
      ],
    });
    const ms = (/** @type {number | null} */ seconds) => (seconds === null ? null : seconds * 1000);
    this.#stepChart.show({
      ...shared,
      title: "Time of a step",
      yLabel: "ms",
      series: [
        ...Object.keys(decoded).map((model, at) => ({
          label: model,
          colour: colour(at),
          values: this.#points.map(({ decode }) => ms(decode[model] ?? null)),
          points: true,
        })),
        {
          label: "solve",
          colour: cssColour("--text"),
          values: this.#points.map(({ solve }) => ms(solve)),
          dash: [4, 4],
          points: true,
        },
      ],
    });
  }

  /** @param {Metrics} metrics */
  #showMemory(metrics) {
    const kinds = ["weights", "cells", "compute", "rows", "programs"];
    const rows = (metrics.get("shoulders_free_memory_bytes") ?? []).map(({ labels: { device = "" } }) => {
      const planned = (/** @type {Labels} */ labels) =>
        total(metrics, "shoulders_planned_memory_bytes", { device, ...labels });
      return [
        h("b", null, device),
        ...kinds.map((kind) => bytes(planned({ kind }))),
        bytes(planned({})),
        bytes(total(metrics, "shoulders_free_memory_bytes", { device })),
      ];
    });
    fill(
      this.#memory,
      table(["Place", "Weights", "Cells", "Compute", "Rows", "Programs", "Sum", "Of"], rows),
    );
  }

  /** @param {Metrics} metrics */
  #showModels(metrics) {
    const heads = [
      "Model",
      "Roles",
      "Architecture",
      "Parameters",
      "Format",
      "File",
      "Context memory",
      "Cells used",
      "Decode a step",
    ];
    const rows = modelsOf(this.#configs).map(({ model, roles }) => {
      const used = total(metrics, "shoulders_kv_cells_used_ratio", { model: model.id });
      const decode =
        total(metrics, "shoulders_decode_seconds_sum", { model: model.id }) /
        total(metrics, "shoulders_decode_seconds_count", { model: model.id });
      return [
        h("b", null, model.id),
        [...roles].join(", "),
        model.architecture,
        count(model.num_parameters),
        model.quantization,
        bytes(model.size_bytes),
        bytes(model.memory_bytes),
        h("span", { class: "cells", vars: { "--fill": used.toFixed(4) } }, percent(used)),
        Number.isFinite(decode) ? milliseconds(decode * 1000) : "–",
      ];
    });
    fill(this.#models, table(heads, rows));
  }
}

/**
 * The part of the x axis that is in view.
 *
 * @param {number} first
 * @returns {[number, number]}
 */
const sinceAMinute = (first) => [Math.min(-60, first), 0];

/** Every loaded model once, with what it is to the configs. @param {ConfigBody[]} configs */
function modelsOf(configs) {
  /** @type {Map<string, { model: ModelBody; roles: Set<string> }>} */
  const found = new Map();
  const add = (/** @type {ModelBody | null} */ model, /** @type {string} */ role) => {
    if (!model) return;
    // An expert's id is its own; metrics call a model by its file.
    const id = model.file.replace(/\.gguf$/i, "");
    const entry = found.get(id) ?? { model: { ...model, id }, roles: new Set() };
    found.set(id, entry);
    entry.roles.add(role);
  };
  for (const { base, reference, experts } of configs) {
    add(base, "base");
    add(reference, "reference");
    for (const expert of experts) add(expert, "expert");
  }
  return [...found.values()];
}
