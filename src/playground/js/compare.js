import { Answer } from "./answer.js";
import { announce, fill, h } from "./dom.js";
import { Inspector } from "./inspector.js";
import { favourite, Settings } from "./settings.js";
import { legend, TokenStrip } from "./token-strip.js";

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
  #columns = h("div", { class: "columns" });
  #inspector = new Inspector({
    onselect: (index) => this.#inspected?.strip.select(index),
    onclose: () => this.#close(),
  });
  #entries = [];
  #inspected = null;

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
      this.#columns,
      this.#inspector.element,
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
    if (this.#entries.some(({ answer }) => answer.status === "streaming")) {
      for (const { answer } of this.#entries) void answer.stop();
      return;
    }
    const content = this.#input.value.trim();
    const chosen = this.#boxes.filter(({ checked }) => checked).map(({ value }) => value);
    if (content === "" || chosen.length < 2) return;
    this.#close();
    this.#entries = chosen.map((id) => this.#entry(this.#configs.find((config) => config.id === id)));
    fill(
      this.#columns,
      this.#entries.map(({ element }) => element),
    );
    const messages = [...this.#settings.systemMessages, { role: "user", content }];
    const started = this.#entries.map(({ answer }) =>
      answer.start({
        model: answer.config.id,
        messages,
        ...this.#settings.sampling,
        fusion: { trace: this.#settings.trace },
      }),
    );
    this.#run.textContent = "Stop";
    void Promise.all(started).then(() => {
      this.#run.textContent = "Compare";
      announce("All answers are there.");
    });
  }

  #entry(config) {
    const answer = new Answer(config);
    const strip = new TokenStrip(answer, (index) => this.#inspect(entry, index));
    const [shares, status] = [legend(answer), h("p", { class: "quiet column-status" })];
    const element = h(
      "article",
      { class: "column", "data-config": config.id },
      h("h2", null, config.id),
      h("p", { class: "hint" }, config.description),
      strip.element,
      status,
      shares,
    );
    const entry = { answer, strip, element };
    answer.onchange = () => {
      strip.update();
      legend(answer, shares);
      this.#markPartings();
      status.textContent = this.#statusOf(answer);
      if (this.#inspected === entry) this.#inspector.update();
    };
    return entry;
  }

  #statusOf(answer) {
    if (answer.error) return answer.error;
    const parting = partingOf(answer, this.#entries[0].answer);
    if (answer === this.#entries[0].answer) return "";
    return parting === null ? "Same so far" : `Parts at token ${parting + 1}`;
  }

  #markPartings() {
    const [first, ...others] = this.#entries;
    const partings = others.map(({ answer }) => partingOf(answer, first.answer));
    others.forEach(({ strip, answer, element }, at) => {
      strip.markParting(partings[at]);
      element.querySelector(".column-status").textContent = this.#statusOf(answer);
    });
    const known = partings.filter((parting) => parting !== null);
    first.strip.markParting(known.length > 0 ? Math.min(...known) : null);
  }

  #inspect(entry, index) {
    if (this.#inspected !== entry) this.#inspected?.strip.select(null);
    this.#inspected = entry;
    this.#inspector.show(entry.answer, index);
  }

  #close() {
    this.#inspected?.strip.select(null);
    this.#inspected?.strip.focus();
    this.#inspected = null;
    this.#inspector.hide();
  }
}

/** The first token that two answers do not share; null while there is none. */
export function partingOf(answer, other) {
  const shared = Math.min(answer.tokens.length, other.tokens.length);
  for (let at = 0; at < shared; at++) if (answer.tokens[at].token.id !== other.tokens[at].token.id) return at;
  return null;
}

/** The giant alone and the fusions of the favourite's experts, as far as there are any. */
function worthComparing(configs) {
  const expertsIn = ({ experts }) => experts.map(({ id }) => id).join();
  const wanted = configs.length > 0 ? expertsIn(favourite(configs)) : "";
  const fitting = configs.filter((config) => ["", wanted].includes(expertsIn(config)));
  const chosen = fitting.length >= 2 ? fitting.slice(0, 3) : configs.slice(0, 2);
  return new Set(chosen.map(({ id }) => id));
}
