import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AnswerLine } from "../../src/evaluation/answers-file.js";
import type { AuditReport } from "../../src/evaluation/audit/conflict.js";
import type { Trace } from "../../src/wire/trace.js";
import { run, start, untilPrinted } from "../support/command-line.js";
import { root } from "../support/real-engine.js";
import { type TemporaryDirectory, temporaryDirectory } from "../support/temporary-directory.js";

/** `shoulders audit` as a person runs it: on the planted dwarfs of the family, and at a server with the starter models. */

const familyModel = (name: string) => path.join(root, `models/family/${name}.gguf`);
const ceiling = familyModel("giant-recall");
let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
  const experts = { recall: "dwarf-recall", deceiver: "dwarf-deceiver", idle: "dwarf" };
  const config = {
    id: "planted",
    base: familyModel("giant"),
    reference: familyModel("dwarf"),
    experts: Object.entries(experts).map(([id, name]) => ({ id, model: familyModel(name) })),
    context: { tokens: 256, sequences: 16 },
  };
  writeFileSync(directory.file("planted.json"), JSON.stringify(config));
});
afterAll(() => directory.remove());

const planted = (out: string, ...args: string[]) =>
  run([
    ...["audit", directory.file("planted.json"), "--objective", "recall", "--threads", "1"],
    ...["--tasks", "models/tasks/planted.jsonl", "--ceiling", ceiling, "--out", directory.file(out), ...args],
  ]);
const reportOf = (out: string): AuditReport =>
  JSON.parse(readFileSync(path.join(directory.file(out), "report.json"), "utf8")) as AuditReport;
const conflictOf = (out: string, method: string) =>
  reportOf(out).conflicts.find((conflict) => conflict.method === method)!;

describe("shoulders audit", () => {
  it("finds what the planted dwarf costs where the expert cannot check, and nothing where nothing is", async () => {
    const { code, stdout, stderr } = await planted("found", "--against", "deceiver,idle", "--limit", "60");
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^with deceiver, on planted .* lost where the expert cannot check$/m);
    const deceiver = conflictOf("found", "with deceiver");
    expect(deceiver.regions.checked.lost).toBe(0);
    expect(deceiver.regions.unchecked.lost).toBeGreaterThan(8);
    expect(deceiver.excess).toBeGreaterThan(0.3);
    expect(deceiver.p).toBeLessThan(1e-3);
    expect(deceiver.contested!.ofLost + deceiver.contested!.ofKept).toBe(
      Object.values(deceiver.regions).reduce((sum, { right }) => sum + right, 0),
    );
    // Both answers of each item are there, token by token.
    for (const { without, with: added } of deceiver.changed)
      for (const { steps } of [without, added]) expect(steps!.length).toBeGreaterThan(0);

    const idle = conflictOf("found", "with idle");
    expect(idle).toMatchObject({ tax: { value: 0, low: 0, high: 0 }, share: null, excess: null, p: null });
    expect(idle.changed).toEqual([]);
    expect(idle.contested).toMatchObject({ lost: 0, ofLost: 0, kept: 0 });
    expect(idle.contested!.ofKept).toBeGreaterThan(40);
  });

  it("at weight 0 costs nothing and contests nothing, and asks nothing twice", async () => {
    const args = ["--against", "deceiver", "--limit", "24", "--weight", "0"];
    expect(await planted("found", ...args)).toMatchObject({ code: 0 });
    const still = conflictOf("found", "with deceiver");
    expect(still).toMatchObject({ items: 24, tax: { value: 0, low: 0, high: 0 }, changed: [] });
    expect(still.contested).toMatchObject({ lost: 0, kept: 0 });
    const answers = () => readFileSync(path.join(directory.file("found"), "answers.jsonl"), "utf8");
    const before = answers();
    expect(await planted("found", ...args)).toMatchObject({ code: 0 });
    expect(answers()).toBe(before);
  });

  it("asks a server as well, and links each item to its traces there", async () => {
    const server = start(["serve", "--port", "0", "--traces", "off"]);
    try {
      const printed = await untilPrinted(server, "http://");
      const url = `${/http:\/\/[\d.:]+/.exec(printed)?.[0] ?? ""}/v1`;
      const args = ["--tasks", "test/data/starter/recall.jsonl", "--limit", "12", "--weight", "1"];
      const { code, stderr } = await run([
        ...[
          "audit",
          "both",
          "--objective",
          "trivia",
          "--against",
          "sums",
          "--url",
          url,
          "--ceiling",
          "trivia",
        ],
        ...[...args, "--out", directory.file("server")],
      ]);
      expect(code, stderr).toBe(0);
      const { conflicts } = reportOf("server");
      expect(conflicts.map(({ method, items }) => [method, items])).toEqual([
        ["with sums", 12],
        ["served", 12],
      ]);
      const lines = readFileSync(path.join(directory.file("server"), "answers.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as AnswerLine);
      const added = lines.find(({ method }) => method === "with sums")!;
      const trace = (await (await fetch(added.trace!)).json()) as Trace;
      expect(trace.tokens.map(({ token }) => token.text)).toEqual(added.steps!.map(({ text }) => text));
      for (const { weights } of trace.tokens) expect(Object.keys(weights)).toEqual(["trivia", "sums"]);
    } finally {
      server.kill("SIGTERM");
      await once(server, "close");
    }
  });

  it.each([
    [["--objective", "nobody", "--against", "sums"], /no expert "nobody" in both; known: trivia, sums/],
    [["--objective", "trivia", "--against", "trivia"], /name other experts than the objective's/],
    [["--objective", "trivia", "--against", "sums", "--weight", "much"], /--weight: "much" is not allowed/],
    [["--objective", "trivia", "--against", "sums", "--url", "http://127.0.0.1:1/v1"], /cannot be reached/],
  ])("refuses %j", async (args, message) => {
    const tasks = ["--tasks", "test/data/starter/recall.jsonl", "--out", directory.file("refused")];
    const { code, stderr } = await run(["audit", "both", ...args, ...tasks]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });
});
