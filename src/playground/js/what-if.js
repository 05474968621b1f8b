import { button, fill, h } from "./dom.js";
import { FusionControls } from "./fusion-controls.js";

/** Other weights from here on: the answer up to the token is kept, and goes on from there under them. */
export class WhatIf {
  #controls = new FusionControls();
  #button;
  #config = null;
  element;

  constructor(oncontinue) {
    this.#button = button("Continue from this token", () => oncontinue(this.#controls.value), {
      class: "button primary",
    });
    this.element = h("section", { class: "card wide what-if" });
  }

  show(config, record, status) {
    if (this.#config !== config) {
      this.#config = config;
      this.#controls.show(config, record.weights);
    }
    this.#button.disabled = status === "streaming";
    fill(
      this.element,
      h("h3", null, "What if"),
      h(
        "p",
        { class: "hint" },
        "What comes before this token is kept as it is; this one and the rest are drawn anew.",
      ),
      this.#controls.element,
      this.#button,
    );
  }
}
