// @ts-check
import { getJson } from "./api.js";
import { Answer } from "./answer.js";
import { AnswerColumns } from "./columns.js";
import { fill, h, table } from "./dom.js";
import { reasonOf } from "./format.js";

/** @import { Trace, TraceHeader, TraceList } from "../../wire/trace.js" */
/** @import { App } from "./main.js" */

/** What the server still keeps of past completions. */
export class TracesView {
  #list = h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Recent traces" });
  element = h(
    "div",
    { class: "page" },
    h("h1", null, "Traces"),
    h(
      "p",
      { class: "lead" },
      "Recent completions whose tokens are still in memory; the oldest go first. Prompts are not kept.",
    ),
    this.#list,
  );

  async show() {
    try {
      /** @type {TraceList} */
      const { data } = await getJson("v1/fusion/traces?limit=100");
      fill(
        this.#list,
        data.length > 0 ? tableOf(data) : h("p", { class: "quiet" }, "None yet: ask something in the chat."),
      );
    } catch (error) {
      fill(this.#list, h("p", { class: "failure", role: "alert" }, reasonOf(error)));
    }
  }
}

/** @param {TraceHeader[]} traces */
const tableOf = (traces) =>
  table(
    ["Trace", "Model", "When", "Status", "Tokens"],
    traces.map(({ id, model, created, status, usage }) => [
      h("a", { href: `#/trace/${id}` }, h("code", null, `${id.slice(0, 20)}…`)),
      model,
      new Date(created * 1000).toLocaleTimeString(),
      status.replace("_", " "),
      String(usage?.completion_tokens ?? "…"),
    ]),
  );

/** One trace as a page of its own: `#/trace/ID`. */
export class TraceView {
  #app;
  /** What is shown without its config, as the models were not loaded; null: nothing is. @type {string | null} */
  #lacking = null;
  element = h("div", { class: "page" });

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
  }

  showConfigs() {
    if (this.#lacking !== null) void this.show(this.#lacking);
  }

  /** @param {string} id */
  async show(id) {
    fill(this.element, h("p", { class: "quiet pulse" }, "Loading the trace"));
    try {
      const [trace] = await Promise.all([
        getJson(`v1/fusion/traces/${encodeURIComponent(id)}?level=weights`),
        this.#app.isKnown,
      ]);
      this.#lacking = this.#app.configs.length === 0 ? id : null;
      this.#showTrace(trace);
    } catch (error) {
      fill(
        this.element,
        h("h1", null, "Trace"),
        h("p", { class: "failure", role: "alert" }, reasonOf(error)),
      );
    }
  }

  /** @param {Trace} trace */
  #showTrace(trace) {
    const config = this.#app.configs.find((candidate) => candidate.id === trace.model) ?? null;
    const columns = new AnswerColumns();
    columns.show([Answer.ofTrace(trace, config)]);
    const { usage } = trace;
    fill(
      this.element,
      h("h1", null, trace.model),
      h(
        "p",
        { class: "lead" },
        h("code", null, trace.id),
        ` · ${new Date(trace.created * 1000).toLocaleString()} · ${trace.status.replace("_", " ")}`,
        usage && ` · ${usage.prompt_tokens} prompt tokens, ${usage.completion_tokens} generated`,
      ),
      columns.element,
    );
    if (trace.tokens.length > 0) columns.inspect(0, 0);
  }
}
