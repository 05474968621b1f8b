// @ts-check
import { getJson, sendJson } from "./api.js";
import { button, fill, h, table } from "./dom.js";
import { colourClass } from "./experts.js";
import { percent, reasonOf } from "./format.js";

/**
 * @import { Policies } from "../../wire/feedback.js"
 * @import { App } from "./main.js"
 */

/** What ratings say of the policies of each config that has some. */
export class PoliciesView {
  #app;
  #parts = h("div", { class: "policies" });
  element = h(
    "div",
    { class: "page" },
    h("h1", null, "Policies"),
    h(
      "p",
      { class: "lead" },
      "Ratings choose which policy answers next. Means are of answers that were drawn unequally: compare them by their intervals.",
    ),
    this.#parts,
  );

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
  }

  async show() {
    await this.#app.isKnown;
    const ids = this.#app.configs.filter(({ policies }) => policies !== null).map(({ id }) => id);
    const none = h("p", { class: "quiet" }, "No config has policies.");
    fill(this.#parts, ids.length > 0 ? await Promise.all(ids.map((id) => this.#part(id))) : none);
  }

  /** @param {string} model */
  async #part(model) {
    const part = h("section", { "aria-label": `Policies of ${model}` });
    const path = `v1/fusion/policies/${encodeURIComponent(model)}`;
    /** @param {() => Promise<unknown>} act */
    const update = async (act) => {
      try {
        await act();
        fill(part, this.#shown(await getJson(path), path, update));
      } catch (error) {
        fill(part, h("h2", null, model), h("p", { class: "failure", role: "alert" }, reasonOf(error)));
      }
    };
    await update(async () => undefined);
    return part;
  }

  /**
   * @param {Policies} told
   * @param {string} path
   * @param {(act: () => Promise<unknown>) => Promise<void>} update
   */
  #shown(told, path, update) {
    const { model, pinned, policies, choose, ratings, half_life: halfLife } = told;
    /** @param {string | null} pin */
    const pinTo = (pin) => update(() => sendJson("POST", path, { pin }));
    const rows = policies.map(({ id, probability, ratings: count, mean, low, high }) => [
      h("span", { class: `policy ${colourClass(id)}` }, h("i", { class: "swatch" }), id),
      percent(probability),
      String(count),
      mean === null ? "–" : `${mean.toFixed(2)} (${low?.toFixed(2)} to ${high?.toFixed(2)})`,
      pinned === id
        ? button("Unpin", () => pinTo(null), { "aria-label": `Unpin ${id}` })
        : button("Pin", () => pinTo(id), { "aria-label": `Pin ${id}` }),
    ]);
    const rule = `${choose}, ${halfLife === null ? "nothing is forgotten" : `half-life ${halfLife} ratings`}`;
    return [
      h("h2", null, model),
      h(
        "p",
        { class: "quiet" },
        `${ratings} ratings weigh; ${rule}${pinned ? `; ${pinned} is pinned` : ""}.`,
      ),
      h(
        "div",
        { class: "table-scroll", tabindex: "0", role: "group", "aria-label": `Standing of ${model}` },
        table(["Policy", "Probability", "Ratings", "Mean (95 %)", ""], rows),
      ),
      historyOf(told),
      button("Forget ratings", () => update(() => sendJson("DELETE", path))),
    ];
  }
}

/** Probabilities over ratings, one on the other. @param {Policies} told */
function historyOf({ model, policies, history }) {
  const last = history.at(-1)?.ratings ?? 0;
  const columns = history.map(({ probabilities }) =>
    h(
      "div",
      { class: "history-column" },
      policies.map(({ id }) =>
        h("i", { class: colourClass(id), vars: { "--part": String(probabilities[id] ?? 0) } }),
      ),
    ),
  );
  return h(
    "figure",
    { class: "history" },
    h(
      "div",
      { class: "history-columns", role: "img", "aria-label": `Probabilities of ${model}'s policies` },
      columns,
    ),
    h("figcaption", { class: "hint" }, `Probabilities from the first to the last of ${last} ratings.`),
  );
}
