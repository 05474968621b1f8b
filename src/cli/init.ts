import { setMaxListeners } from "node:events";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { stringify } from "yaml";
import { type Example } from "../calibration/ask.js";
import { makeExamples } from "../calibration/make-examples.js";
import { type LoadedFusionConfig, loadFusionConfigs, parseFusionConfig } from "../config/load.js";
import type { Roles } from "../config/members.js";
import type { Settings } from "../config/settings.js";
import { isYamlName } from "../config/written-text.js";
import { findingsOf } from "../engine/findings.js";
import { ShouldersError, invariant } from "../errors.js";
import type { Logger } from "../log.js";
import type { Finding } from "../protocol/protocol.js";
import { cardPathOf } from "../routing/card.js";
import { cardFindings } from "../routing/card-findings.js";
import { calibrate } from "./calibrate.js";
import { memoryLines } from "./engine-text.js";
import { type InitAnswers, type InitFlags, askForModels, writeExamples } from "./init-questions.js";
import { type HeaderFacts, findVocabulary, headersTable, pathFrom, planContext } from "./init-models.js";
import { seenText, trialsOf, tryOut, verdict } from "./init-trial.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { Headers } from "./plan-downloads.js";
import { Questions } from "./questions.js";
import { type SettingFlags, prepare } from "./run-time.js";
import type { Stop } from "./stop-signal.js";

interface Setup {
  settings: Settings;
  log: Logger;
  signal: AbortSignal;
}

/** How this program was called, for a person to call it again. */
function program(): string {
  const [, script = ""] = process.argv;
  const isInstalled = !script.endsWith(".js");
  return isInstalled ? "shoulders" : `node ${path.relative(process.cwd(), script)}`;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The config as its file has it. */
function writtenConfig(
  { id, out, base, reference, experts }: InitAnswers,
  { vocabulary, context }: { vocabulary: "shared" | "own"; context: object },
): Record<string, unknown> {
  const from = (source: string) => pathFrom(path.dirname(out), source);
  return {
    id,
    base: from(base.source),
    reference: from(reference.source),
    experts: experts.map(({ id: expertId, source, isAdapter }) => ({
      id: expertId,
      [isAdapter ? "adapter" : "model"]: from(source),
    })),
    ...(vocabulary === "own" && { vocabulary }),
    context,
  };
}

const textOf = (written: Record<string, unknown>, file: string): string =>
  isYamlName(file) ? stringify(written) : `${JSON.stringify(written, null, 2)}\n`;

function findingsText(findings: readonly Finding[]): string {
  return findings.map(({ message, advice }) => `warning  ${message}.\n         ${advice}`).join("\n");
}

/** Checks the models by their headers, plans their memory, and writes the config. */
async function makeConfig(answers: InitAnswers, setup: Setup): Promise<LoadedFusionConfig> {
  const { out, base, reference, experts } = answers;
  const facts: Roles<HeaderFacts> = {
    base: base.facts,
    reference: reference.facts,
    experts: experts.map((expert) => expert.facts),
  };
  say("");
  process.stdout.write(
    headersTable(
      experts.map(({ id }) => id),
      facts,
    ),
  );
  const vocabulary = findVocabulary(facts);
  const unplanned = writtenConfig(answers, { vocabulary, context: {} });
  const { config: draft } = parseFusionConfig(textOf(unplanned, out), out);
  const { context, places } = await planContext(draft, facts, setup);
  const written = writtenConfig(answers, { vocabulary, context });
  const config = parseFusionConfig(textOf(written, out), out);
  const findings = findingsOf({ config: config.config, facts, measured: null });
  say(`memory   ${memoryLines({ memory: places }).join("\n         ")}`);
  say(`context  ${context.sequences} sequences of ${context.tokens} tokens`);
  if (vocabulary === "own")
    say(
      'own      the small models have another vocabulary than the base, so the config says "vocabulary": "own".\n' +
        "         Small models of the base's family are faster, and a few points better.",
    );
  if (findings.length > 0) say(findingsText(findings));
  mkdirSync(path.dirname(path.resolve(out)), { recursive: true });
  writeFileSync(out, textOf(written, out));
  say(`${out} is written.`);
  return config;
}

/** Files of examples as `calibrate` takes them; what the experts have made themselves where nobody has any. */
async function examplesFor(
  answers: InitAnswers,
  config: LoadedFusionConfig,
  setup: Setup,
): Promise<string[]> {
  if (answers.examples.length > 0) return answers.examples;
  say("\nNo examples are given: each expert makes some. They are weaker than prompts of people.");
  const engine = await openEngine({ configs: [config], ...setup, ignoresCards: true });
  try {
    const examples: Example[] = [];
    const asked = { engine, configId: answers.id, signal: setup.signal };
    for (const { id } of answers.experts) examples.push(...(await makeExamples(asked, id, answers.numMade)));
    const file = path.join(path.dirname(answers.out), `${answers.id}.examples.jsonl`);
    writeExamples(file, examples);
    say(`${file} is written: look at it; with "answers" in each line it tells more.`);
    return [file];
  } finally {
    await engine.close();
  }
}

/** Asks ten examples of each expert by every way. @returns what is wrong with the config now that it has a card */
async function tryConfig(
  answers: InitAnswers,
  examples: readonly string[],
  setup: Setup,
): Promise<readonly Finding[]> {
  const configs = loadFusionConfigs(path.resolve(answers.out));
  const [resolved] = await resolveConfigs(configs, setup.settings, setup.signal);
  invariant(resolved !== undefined, "a config that was written is found");
  const engine = await openEngine({ configs, ...setup });
  try {
    for (const trial of trialsOf(
      examples,
      answers.experts.map(({ id }) => id),
    )) {
      const { ways, text } = await tryOut(engine, resolved, trial, setup.signal);
      say("");
      process.stdout.write(text);
      say(verdict(trial.expert, ways));
      if (trial.isSeen) say(seenText);
    }
    return cardFindings(resolved);
  } finally {
    await engine.close();
  }
}

/** What exists already is kept, unless the person says otherwise. */
async function checkOverwriting(
  answers: InitAnswers,
  questions: Questions | null,
  signal: AbortSignal,
): Promise<void> {
  const card = cardPathOf(answers.out, answers.id);
  const existing = [answers.out, card].filter((file) => existsSync(file));
  if (existing.length === 0 || answers.isForced) return;
  const isAllowed =
    questions !== null && (await questions.confirm(`Overwrite ${existing.join(" and ")}?`, false, signal));
  if (!isAllowed)
    throw new ShouldersError(
      "settings_invalid",
      `${existing.join(" and ")} exists and is kept; take another --out or --id, or say --force`,
    );
  // A card of other models would be refused.
  rmSync(card, { force: true });
}

/** The flags that every command has. */
function settingsOf(flags: InitFlags): SettingFlags {
  const own = new Set(["base", "reference", "expert", "id", "out", "examples", "force"]);
  return Object.fromEntries(Object.entries(flags).filter(([name]) => !own.has(name)));
}

/** `shoulders init`: from three files to a config, a card, and a first answer. */
export async function init(flags: InitFlags, stop: Stop): Promise<number> {
  const { settings, log } = prepare(settingsOf(flags), "warn");
  const { signal } = stop;
  // One for each answer that is tried.
  setMaxListeners(0, signal);
  const setup = { settings, log, signal };
  const headers = new Headers(settings.modelsDir, signal);
  let questions: Questions | null = null;
  try {
    const isAsked = flags.base === undefined || flags.reference === undefined || flags.expert === undefined;
    if (isAsked || process.stdin.isTTY) questions = new Questions();
    const answers = await askForModels(flags, { questions: isAsked ? questions : null, headers, signal });
    await checkOverwriting(answers, questions, signal);
    questions?.close();
    const config = await makeConfig(answers, setup);
    const examples = await examplesFor(answers, config, setup);
    say("\nCalibrating.");
    await calibrate(path.resolve(answers.out), { ...settingsOf(flags), examples, force: true }, stop);
    const findings = await tryConfig(answers, examples, setup);
    say(findings.length > 0 ? `\n${findingsText(findings)}` : "");
    const verb = findings.length > 0 ? "Then serve it" : "Serve it";
    say(`${verb}:  ${program()} serve --fusion-configs ${path.dirname(answers.out)}`);
    return 0;
  } finally {
    questions?.close();
    headers.remove();
  }
}
