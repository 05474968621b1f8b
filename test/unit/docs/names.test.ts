import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../../scripts/generated-docs.js";
import type { ApiContext } from "../../../src/api/context.js";
import { createRoutes } from "../../../src/api/routes.js";
import { createProgram } from "../../../src/cli/program.js";
import { describeSettings } from "../../../src/config/settings.js";
import { rowsPath } from "../../../src/rows/wire.js";
import { codeOf, linksOf, pages } from "../../support/documents.js";

const read = (file: string): string => readFileSync(path.join(root, file), "utf8");

/** Anchors as GitHub makes them of headings. */
const anchorsOf = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

describe.each(pages())("%s", (file) => {
  it("links to what there is", () => {
    for (const link of linksOf(read(file))) {
      const [target = "", anchor] = link.split("#");
      const found = target === "" ? file : path.join(path.dirname(file), target);
      expect(existsSync(path.join(root, found)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(read(found)), link).toContain(anchor);
    }
  });

  it("names flags that there are", () => {
    // Where a line is of our own command, or names a flag by itself; others' commands have flags of their own.
    const { inline, lines } = codeOf(read(file));
    const ours = [
      ...lines.filter((line) => /dist\/main\.js|npm start --/.test(line)),
      ...inline.filter((code) =>
        /dist\/main\.js|npm start --|^--[a-z]|^(serve|complete|check|solve|calibrate|eval|debate) /.test(
          code,
        ),
      ),
    ];
    const named = ours.flatMap((code) => code.match(/(?<=^|[\s[])--[a-z][a-z-]+/g) ?? []);
    expect(named.filter((flag) => !knownFlags.has(flag))).toEqual([]);
  });

  it("names routes that there are", () => {
    const named = codeOf(read(file)).inline.flatMap(
      (code) => code.match(/(?<=^|(?:GET|POST) )\/(?:v1|[a-z-]+$)[^\s?]*/g) ?? [],
    );
    const paths = named.map((route) => route.replaceAll(/\{(\w+)\}/g, ":$1"));
    expect(
      paths.filter((route) => route !== "/v1" && !foreignPaths.has(route) && !knownRoutes.has(route)),
    ).toEqual([]);
  });
});

/** llama-server's and other programs' flags that pages compare ours with. */
const foreignFlags = (
  "--rope- --yarn- --override-kv --swa-full --gpu-layers --device --tensor-split --split-mode --main-gpu --flash-attn --cache-type-k --no-mmap --mlock --ubatch-size " +
  "--max-logprobs --logprobs-mode --profile --record --only --json --family --several"
).split(" ");
/** Folders of the container and the like, which look like routes. */
const foreignPaths = new Set(["/models", "/cache", "/state", "/proc", "/generate"]);

const program = createProgram(() => undefined);
const knownFlags = new Set([
  ...describeSettings().map(({ flag }) => flag),
  ...[program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)].flatMap(
    ({ options }) => options.map(({ long }) => long),
  ),
  ...foreignFlags,
]);
const knownRoutes = new Set([...createRoutes({} as ApiContext).map((route) => route.path), rowsPath]);

describe("docs/troubleshooting.md", () => {
  it("has every error code", () => {
    const [, definitions = ""] =
      /const errorDefinitions = \{([^]*?)\n\} as const/.exec(read("src/errors.ts")) ?? [];
    const codes = [...definitions.matchAll(/^ {2}([a-z_]+):/gm)].map(([, code = ""]) => code);
    expect(codes.length).toBeGreaterThan(30);
    const rows = [...read("docs/troubleshooting.md").matchAll(/^\| `([a-z_]+)`/gm)].map(([, code]) => code);
    expect(new Set(rows)).toEqual(new Set(codes));
  });
});

describe("docs/operations.md", () => {
  it("names metrics that there are", () => {
    const section = read("docs/operations.md").split("## Metrics")[1]?.split("\n## ")[0] ?? "";
    const files = readdirSync(path.join(root, "src/api")).filter((name) => name.endsWith("metrics.ts"));
    const source = files.map((name) => read(`src/api/${name}`)).join("\n");
    const named = [...section.matchAll(/`([a-z]+_[a-z_]+)`/g)].map(([, name = ""]) => name);
    expect(named.length).toBeGreaterThan(10);
    for (const name of named.filter((name) => name !== "shoulders_")) expect(source).toContain(name);
  });
});
