// @ts-check
import { button, h } from "./dom.js";
import { colourClass, moverOf } from "./experts.js";
import { milliseconds, nats, percent, probability, times, visible, weight } from "./format.js";
import { decisionWords } from "./token-strip.js";

/** @import { StepTiming, TokenCandidate, TokenRecord } from "../../wire/token-record.js" */
/** @import { Config } from "./answer.js" */
/** @import { Child, Props } from "./dom.js" */
/** @import { FusionFields } from "./fusion-controls.js" */

/** The parts of the inspector, each a function of one token's record. */

/**
 * @param {string} title
 * @param {Props | null} attributes
 * @param {Child[]} children
 */
const card = (title, attributes, ...children) =>
  h("section", { class: "card", ...attributes }, h("h3", null, title), ...children);
/** @param {string} text */
const chip = (text) => h("code", { class: "chip" }, text === "" ? "end" : visible(text));

/** Says in words how probable it was, who moved it, what the base would have said. @param {TokenRecord} record */
export function summary(record) {
  const { logprob, nats: moved, log_ratio, decided_by, weights, shares, flipped } = record;
  const id = moverOf(record);
  const weighed = (/** @type {string} */ id) =>
    shares ? `a share of ${percent(shares[id] ?? 0)}` : `weight ${weight(weights[id] ?? 0)}`;
  const mover =
    id === null
      ? "No expert moved the base here."
      : [
          h("b", { class: `ink ${colourClass(id)}` }, id),
          moved === null ? " decided alone, with " : ` moved the base by ${nats(moved)} nats, with `,
          weighed(id),
          ".",
        ];
  const ratio =
    log_ratio === null ? null : ` The token is ${times(log_ratio)} as probable as for the base alone.`;
  return h(
    "section",
    { class: "card summary" },
    h("h3", { class: "visually-hidden" }, "In words"),
    h(
      "p",
      null,
      h("b", { "data-field": "logprob", "data-value": logprob }, probability(logprob)),
      " probable after fusion. ",
      mover,
      ratio,
    ),
    h(
      "p",
      { "data-decided": decided_by },
      flipped && h("span", { class: "badge" }, "flipped"),
      aloneText(record),
      ` Decided ${decisionWords[decided_by]}.`,
    ),
  );
}

/** What the base alone would have said. @param {TokenRecord} record */
function aloneText({ token, base_token, flipped }) {
  if (base_token === null) return "The base was not asked.";
  const base = [chip(base_token.text), ` (${probability(base_token.logprob)})`];
  if (flipped) return ["Alone it would have said ", base, "."];
  return base_token.id === token.id
    ? ["Alone it would have said the same, with ", probability(base_token.logprob), "."]
    : ["Its own best token stayed on top: ", base, "."];
}

/**
 * Who alone would have said what else, and a way to see the answer go on so; in a trace whose prompt nobody has said there
 * is none.
 *
 * @param {TokenRecord} record
 * @param {((fusion: FusionFields) => void) | null} oncontinue
 */
export function contestSection({ contested, shares, weights }, oncontinue) {
  if (!contested) return null;
  const { by, token, against } = contested;
  const name = (/** @type {string} */ id) =>
    h("b", { class: id === "base" ? "" : `ink ${colourClass(id)}` }, id);
  /** @type {FusionFields} */
  const alone =
    by === "base"
      ? { strategy: { type: "base" } }
      : shares
        ? { prior: { shares: { [by]: 1 }, pinned: true } }
        : { weights: { [by]: weights[by] ?? 1 } };
  return card(
    "Contested",
    { "data-contested": by },
    h(
      "p",
      null,
      "Alone, ",
      name(by),
      " would have said ",
      chip(token.text),
      ` (${probability(token.logprob)}), and was the surest. `,
      name(against),
      " stood against it.",
    ),
    oncontinue && button(`Go on with ${by} alone`, () => oncontinue(alone)),
  );
}

/** What each model has of a mixture, before this token. @param {Record<string, number>} shares */
export function shareSection(shares) {
  const rows = Object.entries(shares).map(([id, share]) =>
    h(
      "div",
      { class: `bar-row share ${id === "base" ? "" : colourClass(id)}`, "data-expert": id },
      h("span", null, id === "base" ? "base" : id),
      h(
        "div",
        { class: "track" },
        h("i", { vars: { "--from": "0%", "--to": `${(share * 100).toFixed(1)}%` } }),
      ),
      h("b", { "data-field": "share", "data-value": share }, percent(share)),
    ),
  );
  return card("Shares of the mixture", null, rows, h("p", { class: "hint" }, "Before this token was drawn."));
}

/**
 * Each weight between the bounds of its expert.
 *
 * @param {TokenRecord} record
 * @param {Config | null} config
 */
export function weightSection({ weights, evaluations, objective }, config) {
  const weighed = Object.entries(weights);
  if (weighed.length === 0)
    return card("Weights", null, h("p", { class: "quiet" }, "The base alone: nothing was weighed."));
  const rows = weighed.map(([id, value]) => {
    const [low, high] = config?.experts.find((expert) => expert.id === id)?.bounds ?? [0, 2];
    const [from, to] = [Math.min(low, value, 0), Math.max(high, value)];
    const at = (/** @type {number} */ place) => `${(((place - from) / (to - from || 1)) * 100).toFixed(1)}%`;
    return h(
      "div",
      { class: `bar-row ${colourClass(id)}`, "data-expert": id },
      h("span", null, id),
      h(
        "div",
        { class: "track" },
        h("i", { vars: { "--from": at(Math.min(0, value)), "--to": at(Math.max(0, value)) } }),
      ),
      h("b", { "data-field": "weight", "data-value": value }, weight(value)),
      h("small", { class: "quiet" }, `${low} to ${high}`),
    );
  });
  const solved = evaluations > 0 ? `${evaluations} evaluations` : "fixed, nothing was solved";
  return card("Weights", null, rows, h("p", { class: "hint" }, `J ${nats(objective)} nats², ${solved}`));
}

/** Achieved F and R beside what tuning did to the small model. @param {TokenRecord} record */
export function divergenceSection({ divergence }) {
  const rows = [
    { name: "achieved", ...divergence, colour: "" },
    ...Object.entries(divergence.targets).map(([id, target]) => ({
      name: `target ${id}`,
      ...target,
      colour: colourClass(id),
    })),
  ];
  const most = Math.max(1e-9, ...rows.flatMap(({ forward, reverse }) => [forward ?? 0, reverse ?? 0]));
  const cell = (/** @type {number | null} */ value, /** @type {string} */ direction) =>
    h(
      "td",
      { "data-field": direction, "data-value": value },
      nats(value),
      h("div", { class: `meter ${direction}`, vars: { "--share": ((value ?? 0) / most).toFixed(4) } }),
    );
  return card(
    "Divergence, nats",
    null,
    h(
      "table",
      { class: "divergences" },
      h(
        "thead",
        null,
        h("tr", null, h("td"), h("th", { scope: "col" }, "forward"), h("th", { scope: "col" }, "reverse")),
      ),
      h(
        "tbody",
        null,
        rows.map(({ name, forward, reverse, colour }) =>
          h(
            "tr",
            { class: colour },
            h("th", { scope: "row" }, colour && h("i", { class: "swatch" }), name),
            cell(forward, "forward"),
            cell(reverse, "reverse"),
          ),
        ),
      ),
    ),
  );
}

/**
 * The ten best of every model; where a column has another to compare with, how far each token moved.
 *
 * @param {TokenRecord} record
 * @param {boolean} isComing the whole record is being fetched
 */
export function topSection({ top, token }, isComing) {
  if (!top && isComing) return null;
  if (!top)
    return card(
      "Top ten",
      { class: "card wide" },
      h("p", { class: "quiet" }, "Not recorded: switch on “Record top tens and curves” in the settings."),
    );
  /** @type {TopColumn[]} */
  const columns = [
    { name: "base", list: top.base },
    { name: "fused", list: top.fused, before: top.base },
    ...(top.reference.length > 0 ? [{ name: "reference", list: top.reference }] : []),
    ...Object.entries(top.experts).map(([id, list]) => ({
      name: id,
      list,
      before: top.reference,
      colour: colourClass(id),
    })),
  ];
  const highlight = (/** @type {MouseEvent} */ { target }) => {
    const pointed = target instanceof Element ? target.closest("[data-token]") : null;
    for (const cell of grid.querySelectorAll("[data-token]"))
      cell.classList.toggle("same", cell.getAttribute("data-token") === pointed?.getAttribute("data-token"));
  };
  const grid = h(
    "div",
    {
      class: "tops",
      role: "group",
      tabindex: "0",
      "aria-label": "Top ten of each model",
      onmouseover: highlight,
      onmouseleave: highlight,
    },
    columns.map((column) => topColumn(column, token)),
  );
  return card(
    "Top ten of every model",
    { class: "card wide" },
    h(
      "p",
      { class: "hint" },
      "Small figures: the shift in log-probability, fused against base, expert against reference; “new”: not in that ten.",
    ),
    grid,
  );
}

/** @typedef {{ name: string; list: TokenCandidate[]; before?: TokenCandidate[]; colour?: string }} TopColumn */

/**
 * @param {TopColumn} column
 * @param {TokenRecord["token"]} token
 */
function topColumn({ name, list, before, colour = "" }, token) {
  const shiftOf = (/** @type {TokenCandidate} */ candidate) => {
    if (!before) return null;
    const old = before.find(({ id }) => id === candidate.id);
    if (!old) return "new";
    const shift = candidate.logprob - old.logprob;
    return `${shift < 0 ? "−" : "+"}${Math.abs(shift).toFixed(1)}`;
  };
  return h(
    "div",
    { class: `top-column ${colour}`, "data-model": name },
    h("h4", null, colour && h("i", { class: "swatch" }), name),
    h(
      "ol",
      null,
      list.map((candidate) =>
        h(
          "li",
          {
            "data-token": candidate.id,
            "data-logprob": candidate.logprob,
            class: candidate.id === token.id ? "drawn" : "",
            vars: { "--share": Math.exp(candidate.logprob).toFixed(4) },
          },
          chip(candidate.text),
          h("span", null, probability(candidate.logprob)),
          before && h("small", null, shiftOf(candidate)),
        ),
      ),
    ),
  );
}

/**
 * Where the time of the step went.
 *
 * @param {StepTiming} timing
 * @param {number} position
 */
export function timingSection(timing, position) {
  const parts = [
    ...Object.entries(timing.decode_ms).map(([role, ms]) => ({ name: `decode ${role}`, ms })),
    { name: "solve and fuse", ms: timing.fuse_ms },
    { name: "sample", ms: timing.sample_ms },
  ];
  const most = Math.max(1e-6, ...parts.map(({ ms }) => ms));
  return card(
    "Time of the step",
    null,
    parts.map(({ name, ms }) =>
      h(
        "div",
        { class: "bar-row time" },
        h("span", null, name),
        h(
          "div",
          { class: "track" },
          h("i", { vars: { "--from": "0%", "--to": `${((ms / most) * 100).toFixed(1)}%` } }),
        ),
        h("b", null, milliseconds(ms)),
      ),
    ),
    h("p", { class: "hint" }, `Position ${position} in the base's sequence.`),
  );
}
