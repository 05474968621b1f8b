import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { root } from "../../scripts/generated-docs.js";

interface Packed {
  files: { path: string }[];
}

it("the package has what runs: program, configs and the models they name, and nothing else", () => {
  const text = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const files = (JSON.parse(text) as Packed[]).flatMap((packed) => packed.files.map((file) => file.path));
  const configs = path.join(root, "fusion-configs");
  const models = readdirSync(configs).flatMap((name) =>
    [...readFileSync(path.join(configs, name), "utf8").matchAll(/"(\.\.\/models\/[^"]+\.gguf)"/g)].map(
      ([, model = ""]) => path.posix.join("fusion-configs", model),
    ),
  );
  const placed = files.filter((file) => !/^(dist|fusion-configs)\//.test(file));
  const documents = ["LICENSE", "README.md", "SECURITY.md", "package.json"];
  expect(new Set(placed)).toEqual(new Set([...documents, ...models]));
  for (const file of ["dist/main.js", "dist/engine/child.js", "dist/playground/index.html"])
    expect(files).toContain(file);
});
