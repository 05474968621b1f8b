import { getJson } from "./api.js";
import { Answer } from "./answer.js";
import { fill, h } from "./dom.js";
import { Inspector } from "./inspector.js";
import { legend, TokenStrip } from "./token-strip.js";

/** What the server still keeps of past completions. */
export class TracesView {
  #list = h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Recent traces" });

  constructor() {
    this.element = h(
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
  }

  async show() {
    try {
      const { data } = await getJson("v1/fusion/traces?limit=100");
      fill(
        this.#list,
        data.length > 0 ? tableOf(data) : h("p", { class: "quiet" }, "None yet: ask something in the chat."),
      );
    } catch (error) {
      fill(this.#list, h("p", { class: "failure", role: "alert" }, error.message));
    }
  }
}

function tableOf(traces) {
  const heads = ["Trace", "Model", "When", "Status", "Tokens"];
  return h(
    "table",
    { class: "list" },
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map((head) => h("th", { scope: "col" }, head)),
      ),
    ),
    h(
      "tbody",
      null,
      traces.map(({ id, model, created, status, usage }) =>
        h(
          "tr",
          null,
          h("td", null, h("a", { href: `#/trace/${id}` }, h("code", null, `${id.slice(0, 20)}…`))),
          h("td", null, model),
          h("td", null, new Date(created * 1000).toLocaleTimeString()),
          h("td", null, status.replace("_", " ")),
          h("td", { class: "number" }, usage?.completion_tokens ?? "…"),
        ),
      ),
    ),
  );
}

/** One trace as a page of its own: `#/trace/ID`. */
export class TraceView {
  #app;
  element = h("div", { class: "page" });

  constructor(app) {
    this.#app = app;
  }

  async show(id) {
    fill(this.element, h("p", { class: "quiet pulse" }, "Loading the trace"));
    try {
      const trace = await getJson(`v1/fusion/traces/${encodeURIComponent(id)}`);
      this.#showTrace(trace);
    } catch (error) {
      fill(this.element, h("h1", null, "Trace"), h("p", { class: "failure", role: "alert" }, error.message));
    }
  }

  #showTrace(trace) {
    const config = this.#app.configs.find((candidate) => candidate.id === trace.model) ?? null;
    const answer = Answer.ofTrace(trace, config);
    const inspector = new Inspector({ onselect: (index) => strip.select(index) });
    const strip = new TokenStrip(answer, (index) => inspector.show(answer, index));
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
      h("article", { class: "answer trace-answer" }, strip.element, legend(answer)),
      inspector.element,
    );
    if (trace.tokens.length === 0) return;
    strip.select(0);
    inspector.show(answer, 0);
  }
}
