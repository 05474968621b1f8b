import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { figureIds, figureTargets, type FigureId } from "./figures.js";
import { parts } from "./parts.js";
import { recordFigures } from "./record.js";
import { figuresMarkdown, hardware, loadText, tableMarkdown, toFigure, type Figure } from "./report.js";

const usage = `npm run bench -- [--only ID,…] [--json FILE] [--peer PATH] [--record]

  --only ID,…   measure these figures, or the tables ${parts
    .filter(({ ids }) => ids.length === 0)
    .map(({ name }) => name)
    .join(", ")}. Default: all
  --json FILE   {hardware, date, figures: [{id, value, unit, target, holds}]}
  --peer PATH   llama-server, as bench/build-peer.sh makes it; without it peer_1 and peer_8 are left out
  --record      write what was measured into bench/README.md

Figures: ${figureIds.join(", ")}
`;

async function main(): Promise<number> {
  const { values: flags } = parseArgs({
    options: {
      only: { type: "string" },
      json: { type: "string" },
      peer: { type: "string" },
      record: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (flags.help) {
    process.stdout.write(usage);
    return 0;
  }
  const only = flags.only?.split(",").filter((id) => id !== "") ?? null;
  const known = new Set(parts.flatMap(({ ids, name }) => [...ids, name]));
  const stranger = only?.find((id) => !known.has(id));
  if (stranger !== undefined) {
    process.stderr.write(`No figure "${stranger}".\n\n${usage}`);
    return 2;
  }
  const date = new Date().toISOString().slice(0, 10);
  const texts: string[] = [];
  const print = (text: string) => {
    texts.push(text);
    process.stdout.write(`${text}\n\n`);
  };
  print(`${hardware()}; ${date}; ${loadText()}`);
  const figures: Figure[] = [];
  let numFailed = 0;
  for (const { name, ids, needsPeer, run } of parts) {
    const wanted: FigureId[] = ids.filter((id) => only === null || only.includes(id) || only.includes(name));
    if (wanted.length === 0 && only !== null && !only.includes(name)) continue;
    if (needsPeer && flags.peer === undefined) {
      print(`${ids.join(", ")}: left out; build llama-server with bench/build-peer.sh and give --peer PATH.`);
      continue;
    }
    try {
      const { values, tables } = await run({ peer: flags.peer ?? "", wanted });
      for (const id of wanted) if (values[id] !== undefined) figures.push(toFigure(id, values[id]));
      for (const table of tables) print(tableMarkdown(table));
    } catch (error) {
      // The others can still be measured.
      numFailed++;
      print(`${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }
  if (figures.length > 0) print(figuresMarkdown(figures));
  print(figures.map(({ id }) => `- ${id}: ${figureTargets[id].text}.`).join("\n"));
  print(`At the end: ${loadText()}`);

  const folder = path.join(import.meta.dirname, "out");
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "bench.md"), `${texts.join("\n\n")}\n`);
  if (flags.json !== undefined)
    writeFileSync(flags.json, `${JSON.stringify({ hardware: hardware(), date, figures }, null, 2)}\n`);
  if (flags.record) {
    const readme = path.join(import.meta.dirname, "README.md");
    writeFileSync(
      readme,
      recordFigures(readFileSync(readme, "utf8"), figures, { hardware: hardware(), date }),
    );
  }
  return numFailed > 0 ? 1 : 0;
}

process.exitCode = await main();
