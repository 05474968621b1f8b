const properties = new Set(["value", "checked", "disabled", "hidden", "textContent", "selected", "open"]);

/**
 * An element: `onclick` and the like are listeners, `vars` custom CSS properties, the rest attributes.
 *
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {any[]} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars")
      for (const [key, given] of Object.entries(value)) element.style.setProperty(key, given);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (properties.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...shown(children));
  return element;
}

/**
 * Puts these in place of what was in the element.
 *
 * @param {HTMLElement} element
 * @param {any[]} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

const shown = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

let numIds = 0;
export const uniqueId = (prefix) => `${prefix}-${++numIds}`;

/** A label above its control. */
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

export const button = (label, onclick, props) =>
  h("button", { type: "button", class: "button", onclick, ...props }, label);

/** A table under a row of headings. */
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

export function announce(text) {
  let region = document.querySelector("#announcer");
  if (region === null) {
    region = h("p", { id: "announcer", class: "visually-hidden", role: "status" });
    document.body.append(region);
  }
  region.textContent = text;
}
