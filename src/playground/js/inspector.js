// @ts-check
import { button, fill, h } from "./dom.js";
import { CurveSection } from "./curve-section.js";
import { wasWeighed } from "./experts.js";
import { exportButtons } from "./exports.js";
import {
  contestSection,
  divergenceSection,
  shareSection,
  summary,
  timingSection,
  topSection,
  weightSection,
} from "./inspector-sections.js";
import { Timeline } from "./timeline.js";
import { visible } from "./format.js";
import { WhatIf } from "./what-if.js";

/** @import { Answer, TokenRecord } from "./answer.js" */
/** @import { FusionFields } from "./fusion-controls.js" */

/** Looks inside one token of an answer. */
export class Inspector {
  element = h("aside", { class: "inspector", "aria-label": "Inspector", hidden: true });
  #on;
  #timeline = new Timeline((index) => this.#go(index));
  #curves = new CurveSection();
  #whatIf = new WhatIf((fusion) => this.#on.oncontinue(this.#index, fusion));
  #head = h("header", { class: "inspector-head" });
  #exports = h("div");
  #body = h("div", { class: "cards" });
  /** @type {Answer | null} */
  #answer = null;
  #index = 0;

  /**
   * @param {{
   *   onclose: () => void;
   *   onselect: (index: number) => void;
   *   oncontinue: (index: number, fusion: FusionFields) => void;
   * }} on
   */
  constructor(on) {
    this.#on = on;
    const timeline = h(
      "section",
      { class: "card wide" },
      h("h3", null, "Over the whole answer"),
      h("p", { class: "hint" }, "Click to go to a token, drag to zoom, double-click to see all again."),
      this.#timeline.element,
      this.#exports,
    );
    this.element.append(this.#head, this.#body, timeline);
    this.element.addEventListener("keydown", ({ key, target }) => {
      if (target instanceof Element && target.closest("input, select, textarea, .tokens")) return;
      if (key === "ArrowLeft") this.#go(this.#index - 1);
      if (key === "ArrowRight") this.#go(this.#index + 1);
    });
  }

  /**
   * @param {Answer} answer
   * @param {number} index
   */
  show(answer, index) {
    const isNew = this.#answer !== answer;
    this.#answer = answer;
    this.#index = index;
    this.element.hidden = false;
    this.#showToken(answer);
    this.update();
    if (isNew)
      fill(
        this.#exports,
        exportButtons(answer, () => this.#timeline.charts()),
      );
  }

  hide() {
    this.element.hidden = true;
    this.#answer = null;
  }

  /** The answer has grown. */
  update() {
    if (this.#answer === null) return;
    this.#whatIf.update();
    this.#timeline.show(this.#answer);
    this.#timeline.select(this.#index);
    this.#showHead(this.#answer);
  }

  /** @param {number} index */
  #go(index) {
    if (this.#answer === null || index < 0 || index >= this.#answer.tokens.length) return;
    this.#index = index;
    this.#showToken(this.#answer);
    this.#showHead(this.#answer);
    this.#timeline.select(index);
    this.#on.onselect(index);
  }

  /** @param {Answer} answer */
  #showHead({ tokens, texts }) {
    const text = texts[this.#index] || (tokens[this.#index]?.token.text ?? "");
    fill(
      this.#head,
      h(
        "div",
        null,
        h("p", { class: "quiet" }, `Token ${this.#index + 1} of ${tokens.length}`),
        h("h2", { class: "token-title" }, text === "" ? "end of answer" : visible(text)),
      ),
      h(
        "div",
        { class: "actions" },
        button("‹", () => this.#go(this.#index - 1), {
          disabled: this.#index === 0,
          "aria-label": "Token before",
        }),
        button("›", () => this.#go(this.#index + 1), {
          disabled: this.#index === tokens.length - 1,
          "aria-label": "Next token",
        }),
        button("✕", this.#on.onclose, { "aria-label": "Close the inspector" }),
      ),
    );
  }

  /** @param {Answer} answer */
  #showToken(answer) {
    const index = this.#index;
    const record = answer.tokens[index];
    if (record) this.#showRecord(answer, record);
    void this.#showFull(answer, index);
  }

  /**
   * The rest of a token's record is fetched when it is looked at.
   *
   * @param {Answer} answer
   * @param {number} index
   */
  async #showFull(answer, index) {
    const record = await answer.full(index).catch(() => null);
    if (record && this.#answer === answer && this.#index === index) this.#showRecord(answer, record);
  }

  /**
   * @param {Answer} answer
   * @param {TokenRecord} record
   */
  #showRecord(answer, record) {
    const { config } = answer;
    const { shares, timing, curves = {} } = record;
    const canChange = config !== null && config.experts.length > 0;
    if (canChange) this.#whatIf.show(answer, config, record);
    const hasCurves = Object.keys(curves).length > 0;
    fill(
      this.#body,
      summary(record),
      contestSection(
        record,
        canChange && answer.request !== null && answer.status !== "streaming"
          ? (fusion) => this.#on.oncontinue(this.#index, fusion)
          : null,
      ),
      shares && shareSection(shares),
      wasWeighed(record) && weightSection(record, config),
      wasWeighed(record) && divergenceSection(record),
      timing && timingSection(timing, record.position),
      hasCurves && this.#curves.element,
      topSection(record, answer.keepsFull),
      canChange && this.#whatIf.element,
    );
    if (hasCurves) this.#curves.show(record, curves);
  }
}
