// @ts-check
import { Answer } from "./answer.js";
import { AnswerColumns } from "./columns.js";
import { announce, fill, h } from "./dom.js";
import { favourite, Settings } from "./settings.js";

/** @import { Config, Message } from "./answer.js" */
/** @import { App } from "./main.js" */

const mostConfigs = 4;

/** The same prompt through two to four configs at once, with the token marked at which each parts from the first. */
export class CompareView {
  /** @type {Config[]} */
  #configs = [];
  #settings = new Settings({ hasModel: false });
  #choices = h("div", { class: "choices", role: "group", "aria-label": "Models to compare" });
  #input = h("textarea", {
    id: "compare-message",
    rows: "2",
    placeholder: "Ask all of them",
    "aria-label": "Message",
  });
  #run = h("button", { class: "button primary", type: "submit" }, "Compare");
  #columns = new AnswerColumns();

  /** @param {App} app */
  constructor(app) {
    const form = h(
      "form",
      { class: "compare-form", onsubmit: (event) => this.#submit(event) },
      this.#choices,
      h("div", { class: "composer" }, this.#input, this.#run),
    );
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.element = h(
      "div",
      { class: "page" },
      h("h1", null, "Compare"),
      h(
        "p",
        { class: "lead" },
        "One prompt, up to four fusions. A caret marks the token where an answer parts from the first one.",
      ),
      form,
      this.#settings.element,
      this.#columns.element,
    );
    this.#settings.element.open = false;
    this.#settings.setMostTokens(64);
    this.showConfigs(app.configs);
  }

  /** @param {Config[]} configs */
  showConfigs(configs) {
    this.#configs = configs;
    if (configs[0]) this.#settings.showConfigs(configs);
    const example = favourite(configs)?.example;
    const preselected = worthComparing(configs);
    if (example && this.#input.value === "") this.#input.value = example;
    fill(
      this.#choices,
      configs.map(({ id, description }) =>
        h(
          "label",
          { class: "choice", title: description },
          h("input", {
            type: "checkbox",
            value: id,
            checked: preselected.has(id),
            onchange: () => this.#limit(),
          }),
          h("span", null, id),
        ),
      ),
    );
    this.#limit();
  }

  get #boxes() {
    return [...this.#choices.querySelectorAll("input")];
  }

  #limit() {
    const numChosen = this.#boxes.filter(({ checked }) => checked).length;
    for (const box of this.#boxes) box.disabled = !box.checked && numChosen >= mostConfigs;
    this.#run.disabled = numChosen < 2;
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (this.#columns.isStreaming) {
      this.#columns.stop();
      return;
    }
    const content = this.#input.value.trim();
    const chosen = new Set(this.#boxes.filter(({ checked }) => checked).map(({ value }) => value));
    if (content === "" || chosen.size < 2) return;
    const asked = this.#configs
      .filter(({ id }) => chosen.has(id))
      .map((config) => ({ model: config.id, answer: new Answer(config) }));
    this.#columns.show(asked.map(({ answer }) => answer));
    /** @type {Message[]} */
    const messages = [...this.#settings.systemMessages, { role: "user", content }];
    const started = asked.map(({ model, answer }) =>
      answer.start({
        model,
        messages,
        ...this.#settings.sampling,
        fusion: this.#settings.traces,
      }),
    );
    this.#run.textContent = "Stop";
    void Promise.all(started).then(() => {
      this.#run.textContent = "Compare";
      announce("All answers are there.");
    });
  }
}

/** The base alone and the fusions of the favourite's experts, as far as there are any. @param {Config[]} configs */
function worthComparing(configs) {
  const expertsIn = (/** @type {Config} */ { experts }) => experts.map(({ id }) => id).join();
  const first = favourite(configs);
  const wanted = first ? expertsIn(first) : "";
  const fitting = configs.filter((config) => ["", wanted].includes(expertsIn(config)));
  const chosen = fitting.length >= 2 ? fitting.slice(0, 3) : configs.slice(0, 2);
  return new Set(chosen.map(({ id }) => id));
}
