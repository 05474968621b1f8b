import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { replaceSection, root } from "./generated-docs.js";
import { familyReport, resultSections, severalReport } from "./results.js";

/**
 * `npm run build && npx tsx scripts/write-results.ts [--family DIR] [--several DIR]`: takes over what `shoulders eval`
 * has written to the directories, report and pictures, and writes everything that is made from them: the card
 * models/README.md, docs/several-experts/README.md, the tables of README.md and docs/evaluation.md, and the traced
 * request of docs/api.md.
 */

function takeOver(from: string, report: string, pictures: string): void {
  mkdirSync(pictures, { recursive: true });
  for (const name of readdirSync(pictures)) if (name.endsWith(".svg")) rmSync(path.join(pictures, name));
  for (const name of readdirSync(from))
    if (name.endsWith(".svg")) copyFileSync(path.join(from, name), path.join(pictures, name));
  const written = readFileSync(path.join(from, "report.json"), "utf8");
  // Where it was written is no part of how it is made again.
  writeFileSync(report, written.replace(/ --out [^ "]+/, ""));
}

/** What the command line prints, as a shell session. */
function session(args: readonly string[]): string {
  const shown = args.map((arg) => (arg.includes(" ") ? `"${arg}"` : arg)).join(" ");
  const printed = execFileSync(process.execPath, ["dist/main.js", ...args, "--threads", "1"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return `$ node dist/main.js ${shown}\n${printed.trimEnd()}`;
}

function tracedRequest(): string {
  const { example } = JSON.parse(readFileSync(path.join(root, "fusion-configs/recall.json"), "utf8")) as {
    example: string;
  };
  const sessions = [
    session(["complete", "--fusion", "giant", "--max-tokens", "16", example]),
    session(["complete", "--fusion", "recall", "--trace", example]),
  ];
  const fence = "```";
  return `${fence}console\n${sessions.join("\n\n")}\n${fence}`;
}

const argument = (flag: string): string | undefined => {
  const at = process.argv.indexOf(flag);
  return at < 0 ? undefined : process.argv[at + 1];
};
const [family, several] = [argument("--family"), argument("--several")];
if (family !== undefined) takeOver(family, familyReport, path.join(root, "models/report"));
if (several !== undefined) takeOver(several, severalReport, path.dirname(severalReport));

for (const { file, name, content } of resultSections()) {
  if (!existsSync(file)) throw new Error(`${file} is missing`);
  writeFileSync(file, await replaceSection(readFileSync(file, "utf8"), name, content));
}
const api = path.join(root, "docs/api.md");
writeFileSync(api, await replaceSection(readFileSync(api, "utf8"), "trace", tracedRequest()));
