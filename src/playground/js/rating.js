// @ts-check
import { sendJson } from "./api.js";
import { announce, button, fill, h, uniqueId } from "./dom.js";
import { reasonOf } from "./format.js";

/**
 * @import { Answer } from "./answer.js"
 * @import { Feedback } from "../../wire/feedback.js"
 */

/** Thumbs and a slider, by which an answer is rated; what was said last counts. */
export class RatingBar {
  element = h("div", { class: "rating", role: "group", "aria-label": "Rate this answer" });
  #answer;
  #up = thumb("Good answer", "", () => this.#rate(1));
  #down = thumb("Bad answer", "down", () => this.#rate(0));
  #slider = h("input", { type: "range", id: uniqueId("score"), min: "0", max: "10", step: "1" });
  #told = h("span", { class: "quiet", role: "status" });
  #back = button("Take back", () => this.#takeBack(), { class: "button quiet-button" });

  /** @param {Answer} answer */
  constructor(answer) {
    this.#answer = answer;
    this.#slider.addEventListener("change", () => this.#rate(Number(this.#slider.value) / 10));
    const label = h("label", { for: this.#slider.id, class: "visually-hidden" }, "Score from 0 to 10");
    fill(this.element, this.#up, this.#down, label, this.#slider, this.#told, this.#back);
    this.update();
  }

  update() {
    const { status, traceId, tokens, score } = this.#answer;
    this.element.hidden = status === "streaming" || traceId === null || tokens.length === 0;
    this.#up.setAttribute("aria-pressed", String(score === 1));
    this.#down.setAttribute("aria-pressed", String(score === 0));
    this.#slider.value = String(Math.round((score ?? 0.5) * 10));
    this.#slider.classList.toggle("unset", score === null);
    this.#back.hidden = score === null;
  }

  /** @param {number} score from 0 to 1 */
  async #rate(score) {
    const trace = this.#answer.traceId;
    await this.#send(score, async () => {
      /** @type {Feedback} */
      const rated = await sendJson("POST", "v1/fusion/feedback", { trace, score });
      return `Rated ${Math.round(rated.score * 10)} of 10`;
    });
  }

  async #takeBack() {
    const path = `v1/fusion/feedback/${encodeURIComponent(this.#answer.traceId ?? "")}`;
    await this.#send(null, async () => {
      await sendJson("DELETE", path);
      return "Not rated";
    });
  }

  /**
   * @param {number | null} score what it will be
   * @param {() => Promise<string>} send
   */
  async #send(score, send) {
    try {
      const told = await send();
      this.#answer.score = score;
      this.#told.textContent = told;
    } catch (error) {
      this.#told.textContent = reasonOf(error);
      announce(reasonOf(error));
    }
    this.update();
  }
}

const svg = "http://www.w3.org/2000/svg";
const outline = "M7 10v10H3V10zm0 0 4-8c2 0 3 1 3 3l-1 4h6c1 0 2 1 2 2l-2 7c0 1-1 2-2 2H7";

/**
 * @param {string} label
 * @param {string} turned
 * @param {() => unknown} onclick
 */
function thumb(label, turned, onclick) {
  const image = document.createElementNS(svg, "svg");
  const path = document.createElementNS(svg, "path");
  image.setAttribute("viewBox", "0 0 24 24");
  image.setAttribute("aria-hidden", "true");
  path.setAttribute("d", outline);
  image.append(path);
  const made = button("", onclick, {
    class: `icon-button thumb ${turned}`,
    "aria-label": label,
    title: label,
  });
  made.append(image);
  return made;
}
