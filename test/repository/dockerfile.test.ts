import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { createContextFilter, parseDockerfile } from "../../scripts/dockerfile.js";
import { root } from "../../scripts/generated-docs.js";
import { defaultLimits } from "../../src/api/context.js";

const read = (file: string) => readFileSync(path.join(root, file), "utf8");
const inContext = createContextFilter(read(".dockerignore"));

describe("reading a Dockerfile", () => {
  it("joins lines, leaves comments out, and fills arguments into FROM and stages", () => {
    const text = [
      "ARG KIND=one",
      "# docker build --build-arg KIND=two",
      "FROM base AS build",
      "RUN first && \\",
      "# why",
      "    second",
      "FROM base-${KIND}",
      "ARG KIND",
    ].join("\n");
    expect(parseDockerfile(text, { KIND: "two" })).toEqual([
      { name: "build", from: "base", instructions: [{ name: "RUN", text: "first &&      second" }] },
      { name: "1", from: "base-two", instructions: [{ name: "ARG", text: "KIND=two" }] },
    ]);
    expect(parseDockerfile(text, {})[1]?.from).toBe("base-one");
  });

  it("takes the last line of an ignore file that names a path or a folder above it", () => {
    const filter = createContextFilter("*\n!src\n!models/dwarf*.gguf\n# !secrets\nsrc/private\n");
    const left = ["src/a/b.ts", "models/dwarf-1.gguf", "models/giant.gguf", "secrets", "src/private/key"];
    expect(left.map(filter)).toEqual([true, true, false, false, false]);
  });
});

describe("the Dockerfile", () => {
  const stages = parseDockerfile(read("Dockerfile"), { BACKEND: "cuda" });
  const sources = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ name, text }) => name === "COPY" && !text.startsWith("--from"))
    .flatMap(({ text }) => text.split(/\s+/).slice(0, -1));

  it("copies only what .dockerignore leaves, and .dockerignore leaves only what is copied", () => {
    expect(sources.filter((source) => !inContext(source.replace("*", "-recall")))).toEqual([]);
    const left = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"));
    expect(left.map((line) => line.slice(1)).sort()).toEqual([...sources].sort());
  });

  it("leads from either backend to a base that is pinned", () => {
    for (const backend of ["cpu", "cuda"]) {
      const all = parseDockerfile(read("Dockerfile"), { BACKEND: backend });
      const base = all.find(({ name }) => name === all.at(-1)?.from);
      expect(base?.name).toBe(`base-${backend}`);
      expect(base?.from).toMatch(/:[^:]*\d[^:]*@sha256:[0-9a-f]{64}$/);
    }
  });
});

describe("the compose file", () => {
  it("lets answers finish and the engine end", () => {
    const grace = /stop_grace_period: (\d+)s/.exec(read("deploy/compose.yaml"))?.[1];
    expect(Number(grace) * 1000).toBeGreaterThan(defaultLimits.closeGraceMs + 10_000);
  });
});
