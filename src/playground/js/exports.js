// @ts-check
import { request } from "./api.js";
import { chartsSvg } from "./chart-svg.js";
import { button, h } from "./dom.js";
import { reasonOf } from "./format.js";

/** @import { Answer } from "./answer.js" */
/** @import { Chart } from "./chart-svg.js" */

/**
 * Buttons that save charts as pictures and their trace as data.
 *
 * @param {Answer} answer
 * @param {() => Chart[]} chartsOf
 */
export function exportButtons(answer, chartsOf) {
  const name = answer.traceId ?? "answer";
  const picture = () => new Blob([chartsSvg(chartsOf())], { type: "image/svg+xml" });
  const data = async (/** @type {string} */ format) =>
    (await request(`v1/fusion/traces/${name}?format=${format}`)).blob();
  const formats = {
    SVG: () => picture(),
    PNG: () => toPng(picture()),
    CSV: () => data("csv"),
    JSON: () => data("json"),
  };
  const status = h("span", { class: "quiet", role: "status" });
  return h(
    "div",
    { class: "exports", role: "group", "aria-label": "Save" },
    Object.entries(formats).map(([format, make]) =>
      button(format, async () => {
        try {
          save(await make(), `${name}.${format.toLowerCase()}`);
          status.textContent = "";
        } catch (error) {
          status.textContent = reasonOf(error);
        }
      }),
    ),
    status,
  );
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/**
 * @param {Blob} svg
 * @returns {Promise<Blob>}
 */
async function toPng(svg) {
  const url = URL.createObjectURL(svg);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = h("canvas", { width: image.width * 2, height: image.height * 2 });
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob(
        (picture) =>
          picture ? resolve(picture) : reject(new Error("The browser cannot make this picture.")),
        "image/png",
      ),
    );
  } finally {
    URL.revokeObjectURL(url);
  }
}
