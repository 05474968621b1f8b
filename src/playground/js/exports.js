import { request } from "./api.js";
import { chartsSvg } from "./chart-svg.js";
import { button, h } from "./dom.js";

/** Buttons that save charts as pictures and their trace as data. */
export function exportButtons(answer, chartsOf) {
  const name = answer.traceId ?? "answer";
  const picture = () => new Blob([chartsSvg(chartsOf())], { type: "image/svg+xml" });
  const data = async (format) => (await request(`v1/fusion/traces/${name}?format=${format}`)).blob();
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
          status.textContent = error.message;
        }
      }),
    ),
    status,
  );
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function toPng(svg) {
  const url = URL.createObjectURL(svg);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = h("canvas", { width: String(image.width * 2), height: String(image.height * 2) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(url);
  }
}
