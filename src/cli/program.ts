import { Command, CommanderError, Option } from "commander";
import type { AuditFlags } from "./audit.js";
import type { CalibrateFlags } from "./calibrate-options.js";
import { addSettings, asSignalled, engineSettings, type Finish, runUntilStopped } from "./command.js";
import type { CompleteFlags } from "./complete.js";
import type { DebateAuditFlags } from "./debate-audit.js";
import type { DistillFlags } from "./distill.js";
import type { EvalFlags } from "./eval-options.js";
import type { InitFlags } from "./init-questions.js";
import type { JudgeFlags } from "./judge.js";
import { type SettingFlags, packageVersion } from "./run-time.js";
import type { PoliciesFlags } from "./policies.js";
import { addMachines } from "./machine-commands.js";
import type { SolveFlags } from "./solve.js";

function addServe(program: Command): void {
  const command = program.command("serve").description("serve the fusion configs over HTTP and WebSocket");
  addSettings(command, "all");
  command.action((flags: SettingFlags) =>
    runUntilStopped(
      // All is closed: what nobody takes of the log keeps the process no longer.
      (exitCode) => process.exit(exitCode),
      () => 0,
      async (stop) => (await import("./serve.js")).serve(flags, stop),
    ),
  );
}

function addComplete(program: Command, finish: Finish): void {
  const command = program
    .command("complete")
    .description("answer one question, streamed to standard output")
    .argument("<prompt>", "the question, as one argument")
    .requiredOption("--fusion <id>", "id of the fusion config that answers")
    .option("--max-tokens <n>", "end the answer after so many tokens")
    .option("--trace", "print every token with its weights afterwards");
  addSettings(command, engineSettings);
  command.action((prompt: string, flags: CompleteFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./complete.js")).complete(prompt, flags, stop),
    ),
  );
}

function addCheck(program: Command, finish: Finish): void {
  const command = program
    .command("check")
    .description("load a fusion config, compare vocabularies, print sizes and memory")
    .argument("<config>", "path of a fusion config, or its id");
  addSettings(command, engineSettings);
  command.action((config: string, flags: SettingFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./check.js")).check(config, flags, stop),
    ),
  );
}

function addCalibrate(program: Command, finish: Finish): void {
  const command = program
    .command("calibrate")
    .description(
      "learn from example prompts which expert answers what, and how; write a card beside the config",
    )
    .argument("<config>", "path of a fusion config, or its id")
    .requiredOption(
      "--examples <files...>",
      "JSON lines {expert, prompt | messages, answers?}, or EXPERT=TASKFILE (base=…: prompts that fit none)",
    )
    .option("--dry-run", "only say how long it would take")
    .option("--force", "replace the card that is there without asking");
  addSettings(command, engineSettings);
  command.action((config: string, flags: CalibrateFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./calibrate.js")).calibrate(config, flags, stop),
    ),
  );
}

function addInit(program: Command, finish: Finish): void {
  const command = program
    .command("init")
    .description(
      "make a config of your own models: check them, calibrate, try ten questions; asks for what is missing",
    )
    .option("--base <model>", "the large model: a GGUF file, or an hf: URI")
    .option("--reference <model>", "the small model before it was tuned")
    .option(
      "--expert <models...>",
      "the small model, tuned, or a LoRA adapter of it: FILE or ID=FILE, several for several experts",
    )
    .option(
      "--examples <files...>",
      "example prompts as calibrate takes them; left out: the experts make some",
    )
    .option("--id <id>", "the model name that clients ask for (default: the expert's)")
    .option("--out <file>", "the config, .json or .yaml (default: my-configs/ID.json)")
    .option("--force", "replace a config and a card that exist");
  addSettings(command, engineSettings);
  command.action((flags: InitFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) => (await import("./init.js")).init(flags, stop)),
  );
}

function addEval(program: Command, finish: Finish): void {
  const command = program
    .command("eval")
    .description("ask tasks by several methods; write answers, figures and pictures")
    .option("--suite <file>", "JSON file that names models by their roles, and tasks")
    .option("--tasks <files>", "task files, separated by commas; a public form as gsm8k:FILE, mmlu:FILE, …")
    .option("--fusion <ids>", "ids of fusion configs to ask as they are; with --url, names of models")
    .option("--methods <names>", "also methods made from the models: giant, right-expert, dynamic-*, … or *")
    .option("--experts <pairs>", "the expert tuned for a task, as TASK=EXPERT, separated by commas")
    .option("--limit <n>", "only the first n items of each task")
    .option("--concurrency <n>", "items asked at a time", "8")
    .option("--seed <n>", "orders choices and draws the resamples of intervals", "1")
    .option(
      "--out <directory>",
      "where answers and report go; answers found there are used again",
      "eval-out",
    )
    .option("--url <url>", "ask an OpenAI-compatible server instead (key: OPENAI_API_KEY)")
    .option(
      "--scorer <name>",
      "score answers of --tasks so instead: contains, regex, json, likelihood, …, or your module.js",
    )
    .option("--judge-url <url>", "have a model compare the methods' answers (key: JUDGE_API_KEY)")
    .option("--judge-model <name>", "the judge's name on that server")
    .option("--judge-against <method>", "whose answers the others are compared with; default: the first");
  addSettings(command, engineSettings);
  command.action((flags: EvalFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) => (await import("./eval.js")).evaluate(flags, stop)),
  );
}

function addJudge(program: Command, finish: Finish): void {
  const command = program
    .command("judge")
    .description("say which of several texts is the answer to a prompt, by their likelihoods")
    .argument("[prompt]", "the question, as one argument")
    .requiredOption("--fusion <id>", "id of the fusion config that judges")
    .option("--candidates <texts...>", "texts, one of which is the answer")
    .option(
      "--prompts <file>",
      "instead of a prompt: a task file, whose choices are the candidates; JSON lines out",
    )
    .option("--laws <laws>", "who judges: fused, base, expert:ID, separated by commas", "fused")
    .option("--normalise <how>", "sum, mean, or end: the sum with the answer's end", "sum")
    .option("--alpha <share>", "lean so far on the base's best (default: as the card says, else 0)")
    .option("--threshold <p>", "and only where the base gives it so much (default: 0.5)");
  addSettings(command, engineSettings);
  command.action((prompt: string | undefined, flags: JudgeFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./judge.js")).judgeTexts(prompt, flags, stop),
    ),
  );
}

function addDebate(program: Command, finish: Finish): void {
  const command = program
    .command("debate")
    .description("what debates before a panel are worth")
    .command("audit")
    .description(
      "on items whose right candidate is known: does a debate help the panel, or harm it; keeps the outcome beside the config",
    )
    .argument("<config>", "path of a fusion config, or its id")
    .requiredOption("--tasks <files...>", "task files with choices, answers and, to quote from, a document")
    .option("--debate <json>", "the debate as a request has it: JSON, or a file of it", "{}")
    .option("--normalise <how>", "sum, mean, or end: the sum with the answer's end", "sum")
    .option("--limit <n>", "only the first n items of each file")
    .option("--seed <n>", "draws sides, sentences and the resamples of intervals", "1")
    .option("--concurrency <n>", "debates at a time", "4")
    .option("--dry-run", "keep nothing");
  addSettings(command, engineSettings);
  command.action((config: string, flags: DebateAuditFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./debate-audit.js")).auditDebates(config, flags, stop),
    ),
  );
}

function addDistill(program: Command, finish: Finish): void {
  const command = program
    .command("distill")
    .description("answer prompts by a fusion, and write the answers as training data for one model")
    .argument("<config>", "path of a fusion config, or its id")
    .requiredOption("--prompts <file>", "task file; what is right need not be in it")
    .requiredOption("--out <file>", "JSON lines with messages, tokens and trust; FILE.all keeps every answer")
    .option(
      "--law <law>",
      "whose answers: fused, base, expert:ID, or judge, the verdict over choices",
      "fused",
    )
    .option("--top <n>", "how many of the most probable tokens to tell of each", "20")
    .option("--trust <share>", "only the surest part of the answers", "1")
    .option("--samples <n>", "answers to a prompt: one is greedy, several are drawn", "1")
    .option("--pairs", "with the base's answer as the rejected one, where it is another")
    .option("--test <files...>", "task files that are tested on: their prompts are refused")
    .option("--concurrency <n>", "answers at a time", "8");
  addSettings(command, engineSettings);
  command.action((config: string, flags: DistillFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./distill.js")).distillConfig(config, flags, stop),
    ),
  );
}

function addPolicies(program: Command, finish: Finish): void {
  const command = program
    .command("policies")
    .description(
      "of an evaluation's methods the few that no other beats by more than delta at any mixture of tasks",
    )
    .argument("<config>", "path of a fusion config, or its id")
    .requiredOption("--report <file>", "report.json of eval")
    .option("--delta <share>", "how far another may be ahead somewhere", "0.02")
    .option("--tasks <names...>", "only these tasks of the report")
    .option("--methods <names...>", "only these methods")
    .option("--out <file>", "where the policies are written (default: ID.policies.json)");
  addSettings(command, ["fusionConfigs", "logLevel"]);
  command.action(async (config: string, flags: PoliciesFlags) =>
    finish((await import("./policies.js")).policies(config, flags)),
  );
}

function addAudit(program: Command, finish: Finish): void {
  const command = program
    .command("audit")
    .description(
      "what adding an expert costs the answers of another, and whether it costs where the expert cannot check",
    )
    .argument("<config>", "path of a fusion config, or its id; with --url, the model's name there")
    .requiredOption("--objective <expert>", "whose answers are looked at")
    .requiredOption("--against <experts>", "who is added to it, one at a time, separated by commas")
    .requiredOption("--tasks <files>", "task files of the objective, separated by commas, as eval takes them")
    .option("--weight <n>", "how heavily they are added; the objective's own weight stays", "0.5")
    .option(
      "--ceiling <model>",
      "a model that knows what is to be known: a GGUF file, an hf: URI, or with --url a name; else the base's sure answers count",
    )
    .option("--limit <n>", "only the first n items of each task")
    .option("--concurrency <n>", "items asked at a time", "8")
    .option("--seed <n>", "orders choices and draws the resamples of intervals", "1")
    .option(
      "--out <directory>",
      "where answers and report go; answers found there are used again",
      "audit-out",
    )
    .option(
      "--url <url>",
      "ask a server of this program instead (key: OPENAI_API_KEY); items link to its traces",
    )
    .option("--scorer <name>", "score answers so instead, as eval does");
  addSettings(command, engineSettings);
  command.action((config: string, flags: AuditFlags) =>
    runUntilStopped(finish, asSignalled, async (stop) =>
      (await import("./audit.js")).audit(config, flags, stop),
    ),
  );
}

function addCompare(program: Command, finish: Finish): void {
  program
    .command("compare")
    .description("compare two runs of eval item by item: by how much, whether by chance, what changed")
    .argument("<before>", "folder of a run, or folder:method")
    .argument("<after>", "folder of another, or folder:method")
    .option("--changed <n>", "show the first n items that changed", "10")
    .action(async (before: string, after: string, flags: { changed: string }) =>
      finish((await import("./compare.js")).compare(before, after, flags)),
    );
}

function addSolve(program: Command, finish: Finish): void {
  const solver = new Option("--solver <name>", "how weights are found").choices(["exact", "grid"]);
  const kernel = new Option("--kernel <name>", "arithmetic of the fusion").choices(["simd", "reference"]);
  program
    .command("solve")
    .description("solve weights for rows of logits: JSON lines or a JSON array in, one JSON line a case out")
    .argument("[file]", "cases {name, base, reference, experts, bounds?}; standard input when left out")
    .addOption(solver.default("exact"))
    .addOption(kernel.default("simd"))
    .action(async (file: string | undefined, flags: SolveFlags) =>
      finish(await (await import("./solve.js")).solve(file, flags)),
    );
}

/** The command line. Commands load what they need when they run: `--help` and `solve` touch no native code. */
export function createProgram(finish: Finish): Command {
  const program = new Command("shoulders")
    .description(
      "Inference-time logit fusion: a large untuned model, steered token by token by small tuned ones",
    )
    .version(packageVersion())
    .showHelpAfterError("(--help lists commands and options)")
    // Commands made from here on inherit it: commander throws instead of ending the process.
    .exitOverride();
  addServe(program);
  addMachines(program, finish);
  addComplete(program, finish);
  addInit(program, finish);
  addCheck(program, finish);
  addCalibrate(program, finish);
  addEval(program, finish);
  addAudit(program, finish);
  addJudge(program, finish);
  addDebate(program, finish);
  addDistill(program, finish);
  addPolicies(program, finish);
  addCompare(program, finish);
  addSolve(program, finish);
  return program;
}

/** 2 when commander refused the command line (it has printed why), 0 when it printed help or the version. */
export function commanderExitCode(error: unknown): number | null {
  if (!(error instanceof CommanderError)) return null;
  return error.exitCode === 0 ? 0 : 2;
}
