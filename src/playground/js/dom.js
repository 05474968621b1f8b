// @ts-check

/**
 * What an element may have; where it is null, undefined or false, nothing is set.
 *
 * @typedef {string | number | boolean | null | undefined} Value
 * @typedef {"autocomplete" | "checked" | "class" | "disabled" | "download" | "for" | "height" | "hidden" | "href"
 *   | "id" | "inputmode" | "max" | "method" | "min" | "name" | "open" | "placeholder" | "required" | "role" | "rows"
 *   | "scope" | "selected" | "spellcheck" | "step" | "tabindex" | "textContent" | "title" | "type" | "value"
 *   | "width"} Name
 *
 * @typedef {object} Listeners
 * @property {(event: MouseEvent) => unknown} [onclick]
 * @property {(event: Event) => unknown} [onchange]
 * @property {(event: SubmitEvent) => unknown} [onsubmit]
 * @property {(event: MouseEvent) => unknown} [onmouseover]
 * @property {(event: MouseEvent) => unknown} [onmouseleave]
 *
 * @typedef {{ [name in Name]?: Value } & { [name: `aria-${string}` | `data-${string}`]: Value }} Attributes
 * @typedef {Attributes & Listeners & { vars?: Record<string, string> }} Props
 *
 * @typedef {Node | string | false | null | undefined} Leaf
 * @typedef {Leaf | (Leaf | Leaf[])[]} Child
 */

const properties = new Set(["value", "checked", "disabled", "hidden", "textContent", "selected", "open"]);

/**
 * An element: `onclick` and the like are listeners, `vars` custom CSS properties, the rest attributes.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props | null} [props]
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  if (props) give(element, props);
  element.append(...shown(children));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Props} props
 */
function give(element, { vars = {}, ...props }) {
  for (const [key, value] of Object.entries(vars)) element.style.setProperty(key, value);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function" || properties.has(name)) Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * Puts these in place of what was in the element.
 *
 * @template {HTMLElement} Filled
 * @param {Filled} element
 * @param {Child[]} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
const shown = (children) =>
  children.flatMap((child) => {
    if (child === null || child === undefined || child === false) return [];
    return Array.isArray(child) ? shown(child) : [child];
  });

let numIds = 0;
/** @param {string} prefix */
export const uniqueId = (prefix) => `${prefix}-${++numIds}`;

/**
 * A label above its control.
 *
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  control.id ||= uniqueId("field");
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, label),
    control,
    hint && h("p", { class: "hint" }, hint),
  );
}

/**
 * @param {string} label
 * @param {(event: MouseEvent) => unknown} onclick
 * @param {Props} [props]
 */
export const button = (label, onclick, props) =>
  h("button", { type: "button", class: "button", onclick, ...props }, label);

/**
 * A table under a row of headings.
 *
 * @param {string[]} heads
 * @param {Child[][]} rows
 */
export const table = (heads, rows) =>
  h(
    "table",
    { class: "list" },
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map((head) => h("th", { scope: "col" }, head)),
      ),
    ),
    h(
      "tbody",
      null,
      rows.map((cells) =>
        h(
          "tr",
          null,
          cells.map((cell) => h("td", null, cell)),
        ),
      ),
    ),
  );

/**
 * A function that does its work once for all calls before the next picture of the page.
 *
 * @param {() => void} work
 */
export function oncePerPicture(work) {
  let isComing = false;
  return () => {
    if (isComing) return;
    isComing = true;
    requestAnimationFrame(() => {
      isComing = false;
      work();
    });
  };
}

/** Says something to who hears the page. @param {string} text */
export function announce(text) {
  let region = document.querySelector("#announcer");
  if (region === null) {
    region = h("p", { id: "announcer", class: "visually-hidden", role: "status" });
    document.body.append(region);
  }
  region.textContent = text;
}
