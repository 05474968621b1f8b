import { Answer } from "./answer.js";
import { AnswerColumns } from "./columns.js";
import { announce, fill, h } from "./dom.js";
import { favourite, Settings } from "./settings.js";

const mostConfigs = 4;

/** The same prompt through two to four configs at once, with the token marked at which each parts from the first. */
export class CompareView {
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

  #submit(event) {
    event.preventDefault();
    if (this.#columns.isStreaming) {
      this.#columns.stop();
      return;
    }
    const content = this.#input.value.trim();
    const chosen = this.#boxes.filter(({ checked }) => checked).map(({ value }) => value);
    if (content === "" || chosen.length < 2) return;
    const answers = chosen.map((id) => new Answer(this.#configs.find((config) => config.id === id)));
    this.#columns.show(answers);
    const messages = [...this.#settings.systemMessages, { role: "user", content }];
    const started = answers.map((answer) =>
      answer.start({
        model: answer.config.id,
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

/** The base alone and the fusions of the favourite's experts, as far as there are any. */
function worthComparing(configs) {
  const expertsIn = ({ experts }) => experts.map(({ id }) => id).join();
  const wanted = configs.length > 0 ? expertsIn(favourite(configs)) : "";
  const fitting = configs.filter((config) => ["", wanted].includes(expertsIn(config)));
  const chosen = fitting.length >= 2 ? fitting.slice(0, 3) : configs.slice(0, 2);
  return new Set(chosen.map(({ id }) => id));
}
