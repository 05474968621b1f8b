import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import { load, starterModel } from "../support/llama.js";
import { plainScore } from "../support/plain-score.js";
import { startRealServer, type RealServer } from "../support/real-server.js";

/** lm-eval itself, unmodified and without any file of ours: it divides texts by the server's routes. */

const python = path.resolve(".venv/bin/python");
const folder = mkdtempSync(path.join(tmpdir(), "shoulders-lm-eval-"));
let server: RealServer;
let library: NativeLibrary;
let base: LoadedModel;
beforeAll(async () => {
  server = await startRealServer();
  library = await openLibrary({ backend: "cpu" });
  base = await load(library, starterModel("giant"));
});
afterAll(async () => {
  await server.close();
  await library[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Doc {
  question: string;
  answer: string;
  choices: string[];
}

interface Sample {
  doc: Doc;
  arguments: Record<string, { arg_0: string; arg_1: string }>;
  filtered_resps: unknown[];
}

/** Python reads half a gigabyte of libraries first. */
const patienceMs = 300_000;

/** Ten shipped items. */
function docsOf(task: string): Doc[] {
  const lines = readFileSync(`models/tasks/${task}.jsonl`, "utf8").trim().split("\n").slice(0, 10);
  return lines.map((line) => {
    const { messages, answers, choices } = JSON.parse(line) as {
      messages: { content: string }[];
      answers: string[];
      choices?: string[];
    };
    return { question: messages[0]!.content, answer: answers[0]!, choices: choices ?? [] };
  });
}

/** Runs lm-eval on the items. @returns what it kept of each, in order */
async function evaluate(
  name: string,
  docs: Doc[],
  { task, model, options }: { task: string; model: string; options: string[] },
): Promise<Sample[]> {
  const own = path.join(folder, name);
  const items = path.join(folder, `${name}.jsonl`);
  writeFileSync(items, docs.map((doc) => JSON.stringify(doc)).join("\n"));
  const head = `task: ${name}\ndataset_path: json\ndataset_kwargs: {data_files: {test: ${items}}}\ntest_split: test\n`;
  writeFileSync(path.join(folder, `${name}.yaml`), `${head}${task}`);
  await promisify(execFile)(
    python,
    ["-m", "lm_eval", "--model", model, "--include_path", folder, "--tasks", name, ...options].concat(
      "--output_path",
      path.join(own, "out.json"),
      "--log_samples",
    ),
    { env: { ...process.env, HF_HOME: folder, HF_DATASETS_OFFLINE: "1", OPENAI_API_KEY: "none" } },
  );
  const file = readdirSync(own).find((entry) => entry.startsWith("samples_"));
  const lines = readFileSync(path.join(own, file!), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Sample);
}

it("multiple choice: each choice has the base's own log-likelihood", { timeout: patienceMs }, async () => {
  const samples = await evaluate("choices", docsOf("choice"), {
    task: `output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: "{{choices.index(answer)}}"
target_delimiter: " "
metric_list: [{metric: acc}]
`,
    model: "local-completions",
    options: [
      "--model_args",
      `model=giant,base_url=${server.url}/v1/completions,tokenizer_backend=remote,num_concurrent=4`,
    ],
  });
  expect(samples).toHaveLength(10);
  for (const sample of samples) {
    const asked = Object.values(sample.arguments);
    expect(asked).toHaveLength(4);
    for (const [index, { arg_0: context, arg_1: choice }] of asked.entries()) {
      const ids = [...(await base.tokenizeAside(context + choice, true))];
      const { length: contextLength } = await base.tokenizeAside(context, true);
      const { logprob, isGreedy } = await plainScore(base, { ids, contextLength });
      const [told, isTold] = sample.filtered_resps[index] as [string, string];
      // A prompt is read in one batch there, token by token here: sums of float32 differ by their order.
      expect(Math.abs(Number(told) - logprob)).toBeLessThan(0.05);
      expect(isTold).toBe(isGreedy ? "True" : "False");
    }
  }
});

it(
  "generation by chats: the answers are those that the official client gets",
  { timeout: patienceMs },
  async () => {
    const samples = await evaluate("written", docsOf("recall"), {
      task: `output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: " {{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 24}
metric_list: [{metric: exact_match}]
`,
      model: "local-chat-completions",
      options: [
        "--apply_chat_template",
        "--model_args",
        `model=both,base_url=${server.url}/v1/chat/completions,num_concurrent=4`,
      ],
    });
    expect(samples).toHaveLength(10);
    for (const { doc, filtered_resps } of samples) {
      const { choices } = await server.client.chat.completions.create({
        model: "both",
        messages: [{ role: "user", content: doc.question }],
        max_completion_tokens: 24,
        temperature: 0,
        stop: ["\n"],
      });
      expect(filtered_resps).toEqual([choices[0]!.message.content]);
    }
  },
);
