// @ts-check
import { CreditMap } from "./credit.js";
import { fill, h, oncePerPicture } from "./dom.js";
import { Inspector } from "./inspector.js";
import { RatingBar } from "./rating.js";
import { TokenFilter } from "./token-filter.js";
import { legend, TokenStrip } from "./token-strip.js";
import { choiceOf } from "./strategies.js";

/** @import { Answer, Config } from "./answer.js" */
/** @import { FusionFields } from "./fusion-controls.js" */

/** @typedef {{ answer: Answer; strip: TokenStrip; element: HTMLElement; status: HTMLElement }} Column */

/**
 * Answers to one prompt side by side, with the token marked at which each parts from the first, and the inspector
 * of one token below. What if: an answer goes on from a token in a column of its own.
 */
export class AnswerColumns {
  element = h("div", { class: "compared" });
  #row = h("div", { class: "columns" });
  #inspector = new Inspector({
    onselect: (index) => this.#inspected?.strip.select(index),
    onclose: () => this.close(),
    oncontinue: (index, fusion) => this.#continue(index, fusion),
  });
  /** @type {Column[]} */
  #columns = [];
  /** @type {Column | null} */
  #inspected = null;

  constructor() {
    this.element.append(this.#row, this.#inspector.element);
  }

  get isStreaming() {
    return this.#columns.some(({ answer }) => answer.status === "streaming");
  }

  /** Puts these in place of what was shown. @param {Answer[]} answers */
  show(answers) {
    this.close();
    this.#columns = [];
    fill(this.#row);
    for (const answer of answers) this.#add(answer, answer.config?.id, answer.config?.description);
  }

  stop() {
    for (const { answer } of this.#columns) void answer.stop();
  }

  /**
   * @param {number} at of the answer
   * @param {number} index of its token
   */
  inspect(at, index) {
    const column = this.#columns[at];
    if (column) this.#inspect(column, index);
  }

  close() {
    this.#inspected?.strip.select(null);
    this.#inspected?.strip.focus();
    this.#inspected = null;
    this.#inspector.hide();
  }

  /**
   * @param {Answer} answer
   * @param {string} [title]
   * @param {string} [description]
   */
  #add(answer, title, description) {
    const strip = new TokenStrip(answer, (index) => this.#inspect(column, index));
    const [shares, status] = [legend(answer), h("p", { class: "quiet column-status" })];
    const [rating, credit] = [new RatingBar(answer), new CreditMap(answer, strip)];
    const filter = new TokenFilter(answer, strip);
    const element = h(
      "article",
      { class: "column", "data-config": answer.config?.id },
      h("h2", null, title),
      h("p", { class: "hint" }, description),
      strip.element,
      status,
      shares,
      filter.element,
      rating.element,
      credit.element,
    );
    const column = { answer, strip, element, status };
    this.#columns.push(column);
    this.#row.append(element);
    answer.onchange = oncePerPicture(() => {
      strip.update();
      legend(answer, shares);
      filter.update();
      rating.update();
      credit.update();
      this.#markPartings();
      if (this.#inspected === column) this.#inspector.update();
    });
    this.#markPartings();
    return column;
  }

  /**
   * @param {number} index
   * @param {FusionFields} fusion
   */
  #continue(index, fusion) {
    const { answer } = this.#inspected ?? {};
    // The inspector lets go on only what has both.
    if (!answer?.request || !answer.config) return;
    const { fusion: before, ...body } = answer.request;
    const next = answer.continued(index);
    const { element } = this.#add(
      next,
      `${answer.config.id}, what if`,
      describe(fusion, index, answer.config),
    );
    const { trace, keep_trace } = before;
    void next.start({ ...body, fusion: { trace, keep_trace, ...fusion, ...answer.beginning(index) } });
    element.scrollIntoView({ block: "center" });
  }

  #markPartings() {
    const [first, ...others] = this.#columns;
    if (first === undefined) return;
    /** @type {number | null} */
    let earliest = null;
    for (const { strip, answer, status } of others) {
      const parting = partingOf(answer, first.answer);
      strip.markParting(parting);
      status.textContent =
        answer.error ?? (parting === null ? "Same so far" : `Parts at token ${parting + 1}`);
      if (parting !== null) earliest = Math.min(earliest ?? parting, parting);
    }
    first.status.textContent = first.answer.error ?? "";
    first.strip.markParting(earliest);
  }

  /**
   * @param {Column} column
   * @param {number} index
   */
  #inspect(column, index) {
    if (this.#inspected !== column) this.#inspected?.strip.select(null);
    this.#inspected = column;
    column.strip.select(index);
    this.#inspector.show(column.answer, index);
  }
}

/**
 * The first token that two answers do not share; null while there is none.
 *
 * @param {Answer} answer
 * @param {Answer} other
 */
function partingOf(answer, other) {
  const shared = Math.min(answer.tokens.length, other.tokens.length);
  for (let at = 0; at < shared; at++)
    if (answer.tokens[at]?.token.id !== other.tokens[at]?.token.id) return at;
  return null;
}

/**
 * What a request's `fusion` asks for, in a few words.
 *
 * @param {FusionFields} fusion
 * @param {number} index
 * @param {Config} config
 */
function describe({ strategy, weights, bounds, prior, budget }, index, config) {
  const parts = [
    weights && `weights ${list(weights, String)}`,
    bounds && `weights within ${list(bounds, ([low, high]) => `${low} to ${high}`)}`,
    strategy && choiceOf(config, strategy.type)?.label,
    prior && (prior.shares === "uniform" ? "even shares" : list(prior.shares, (share) => `${share * 100} %`)),
    budget && `at most ${budget.token_nats} nats a token`,
  ].filter(Boolean);
  return `From token ${index + 1}: ${parts.join("; ") || "as configured"}.`;
}

/**
 * @template Value
 * @param {Record<string, Value>} values
 * @param {(value: Value) => string} toText
 */
const list = (values, toText) =>
  Object.entries(values)
    .map(([id, value]) => `${id} ${toText(value)}`)
    .join(", ");
