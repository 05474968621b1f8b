import { button, field, fill, h } from "./dom.js";
import { FusionControls } from "./fusion-controls.js";

/** Other weights, bounds or strategy: the answer up to the token is weighed anew, and goes on from there under them. */
export class WhatIf {
  #controls = new FusionControls();
  #prompt = h("textarea", { rows: "2" });
  #button;
  #answer = null;
  element;

  constructor(oncontinue) {
    this.#button = button("Continue from this token", () => this.#continue(oncontinue), {
      class: "button primary",
    });
    this.#prompt.addEventListener("input", () => this.update());
    this.element = h("section", { class: "card wide what-if" });
  }

  show(answer, record) {
    if (this.#answer !== answer) {
      this.#answer = answer;
      this.#controls.show(answer.config, record.weights);
      this.#prompt.value = "";
    }
    fill(
      this.element,
      h("h3", null, "What if"),
      h(
        "p",
        { class: "hint" },
        "The tokens before this one are given again and weighed anew; this one and the rest are drawn.",
      ),
      answer.request === null &&
        field("Prompt", this.#prompt, "The server keeps no prompts: say again what was asked."),
      this.#controls.element,
      this.#button,
    );
    this.update();
  }

  /** The answer has ended, or the prompt is there. */
  update() {
    if (this.#answer === null) return;
    const { request, status } = this.#answer;
    this.#button.disabled = status === "streaming" || (!request && this.#prompt.value.trim() === "");
  }

  #continue(oncontinue) {
    this.#answer.request ??= {
      model: this.#answer.config.id,
      messages: [{ role: "user", content: this.#prompt.value.trim() }],
      fusion: { trace: "weights", keep_trace: "full" },
    };
    oncontinue(this.#controls.value);
  }
}
