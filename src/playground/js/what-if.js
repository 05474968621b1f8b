// @ts-check
import { button, field, fill, h } from "./dom.js";
import { FusionControls } from "./fusion-controls.js";

/** @import { Answer, Config, TokenRecord } from "./answer.js" */
/** @import { FusionFields } from "./fusion-controls.js" */

/** Other weights, bounds or strategy: the answer up to the token is weighed anew, and goes on from there under them. */
export class WhatIf {
  #controls = new FusionControls();
  #prompt = h("textarea", { rows: "2" });
  #button;
  /** @type {{ answer: Answer; config: Config } | null} */
  #shown = null;
  element = h("section", { class: "card wide what-if" });

  /** @param {(fusion: FusionFields) => void} oncontinue */
  constructor(oncontinue) {
    this.#button = button("Continue from this token", () => this.#continue(oncontinue), {
      class: "button primary",
    });
    this.#prompt.addEventListener("input", () => this.update());
  }

  /**
   * @param {Answer} answer
   * @param {Config} config
   * @param {TokenRecord} record
   */
  show(answer, config, record) {
    if (this.#shown?.answer !== answer) {
      this.#shown = { answer, config };
      this.#controls.show(config, record.weights);
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
    if (this.#shown === null) return;
    const { request, status } = this.#shown.answer;
    this.#button.disabled = status === "streaming" || (!request && this.#prompt.value.trim() === "");
  }

  /** @param {(fusion: FusionFields) => void} oncontinue */
  #continue(oncontinue) {
    if (this.#shown === null) return;
    const { answer, config } = this.#shown;
    answer.request ??= {
      model: config.id,
      messages: [{ role: "user", content: this.#prompt.value.trim() }],
      fusion: { trace: "weights", keep_trace: "full" },
    };
    oncontinue(this.#controls.value);
  }
}
