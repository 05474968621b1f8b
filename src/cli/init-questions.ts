import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Example } from "../calibration/ask.js";
import { isConfigName } from "../config/load.js";
import { ShouldersError } from "../errors.js";
import { idSchema } from "../strategies/fields.js";
import { loadExamples } from "./calibrate-options.js";
import { type HeaderFacts, idOf, readExpertHeader, readHeader } from "./init-models.js";
import type { Headers } from "./plan-downloads.js";
import type { Questions } from "./questions.js";
import type { SettingFlags } from "./run-time.js";

export type InitFlags = SettingFlags & {
  base?: string;
  reference?: string;
  expert?: string[];
  id?: string;
  out?: string;
  examples?: string[];
  force?: boolean;
};

export interface GivenModel {
  /** As it was given: a path from where the program runs, or a URI. */
  source: string;
  facts: HeaderFacts;
}

/** What `init` needs to know. */
export interface InitAnswers {
  id: string;
  /** Where the config goes. */
  out: string;
  base: GivenModel;
  reference: GivenModel;
  experts: (GivenModel & { id: string; isAdapter: boolean })[];
  /** As `calibrate` takes them; none: the experts make some. */
  examples: string[];
  numMade: number;
  isForced: boolean;
}

/** Made examples of each expert. */
const numMade = 24;

interface Asking {
  /** null: nobody is asked, what is missing has its default. */
  questions: Questions | null;
  headers: Headers;
  signal: AbortSignal;
}

function checkId(id: string): string {
  const parsed = idSchema.safeParse(id);
  if (parsed.success) return parsed.data;
  throw new ShouldersError("settings_invalid", `"${id}" is no id: ${parsed.error.issues[0]?.message ?? ""}`);
}

/** `maths=tuned.gguf`, or a file alone, whose name becomes the id. */
function splitExpert(given: string, reference: string): { id: string; source: string } {
  const named = /^([a-z0-9][a-z0-9._-]{0,63})=(.+)$/.exec(given);
  return named?.[1] !== undefined && named[2] !== undefined
    ? { id: named[1], source: named[2] }
    : { id: idOf(given, reference), source: given };
}

async function askModel(
  flag: string | undefined,
  question: string,
  { questions, headers, signal }: Asking,
): Promise<GivenModel> {
  const use = async (source: string): Promise<GivenModel> => ({
    source,
    facts: await readHeader(source, headers),
  });
  if (flag !== undefined) return use(flag);
  if (questions === null)
    throw new ShouldersError("settings_invalid", `${question} is missing; --help lists the flags`);
  return questions.askUntil(question, null, { signal, use });
}

async function askExperts(
  flags: readonly string[] | undefined,
  reference: GivenModel,
  { questions, headers, signal }: Asking,
): Promise<InitAnswers["experts"]> {
  const read = async (given: string) => {
    const { id, source } = splitExpert(given, reference.source);
    return { id, source, ...(await readExpertHeader(source, reference.facts, headers)) };
  };
  const experts: InitAnswers["experts"] = [];
  if (flags !== undefined) for (const flag of flags) experts.push(await read(flag));
  while (questions !== null && flags === undefined) {
    const isFirst = experts.length === 0;
    const question = isFirst
      ? "Expert: the small model, tuned, or a LoRA adapter of it"
      : "Another expert (empty: no more)";
    const next = await questions.askUntil(question, isFirst ? null : "", {
      signal,
      use: async (given) => (given === "" ? null : read(given)),
    });
    if (next === null) break;
    const use = (id: string) => Promise.resolve(checkId(id));
    experts.push({ ...next, id: await questions.askUntil("  its id", next.id, { signal, use }) });
  }
  const ids = experts.map(({ id }) => checkId(id));
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined)
    throw new ShouldersError(
      "settings_invalid",
      `two experts have the id "${twice}"; name them: --expert ID=FILE`,
    );
  return experts;
}

/** What becomes of a config whose experts have no examples of people. */
const withoutExamples = ({ length }: readonly string[]): string =>
  length === 1 ? "the expert makes some" : "the experts make some, which seldom say whose a prompt is";

async function askExamples(
  flags: readonly string[] | undefined,
  ids: readonly string[],
  { questions, signal }: Asking,
): Promise<string[]> {
  const check = (files: readonly string[]): string[] => {
    if (files.length > 0) loadExamples(files, ids);
    return [...files];
  };
  if (flags !== undefined || questions === null) return check(flags ?? []);
  return questions.askUntil(
    `Example prompts with answers, as ${ids.map((id) => `${id}=FILE`).join(" ")} (empty: ${withoutExamples(ids)})`,
    "",
    { signal, use: (given) => Promise.resolve(check(given.split(/\s+/).filter((part) => part !== ""))) },
  );
}

/** Takes what the flags say, and asks for the rest. @throws ShouldersError */
export async function askForModels(flags: InitFlags, asking: Asking): Promise<InitAnswers> {
  const { questions, signal } = asking;
  const base = await askModel(flags.base, "Base: the large model, a GGUF file or hf: URI", asking);
  const reference = await askModel(flags.reference, "Reference: the small model before it was tuned", asking);
  const experts = await askExperts(flags.expert, reference, asking);
  const ids = experts.map((expert) => expert.id);
  const usualId = ids.length === 1 ? (ids[0] ?? "") : idOf(base.source, null);
  const useId = (id: string) => Promise.resolve(checkId(id));
  const id = await (flags.id !== undefined || questions === null
    ? useId(flags.id ?? usualId)
    : questions.askUntil("Id of the config: the model name that clients ask for", usualId, {
        signal,
        use: useId,
      }));
  const useOut = (file: string) => {
    if (isConfigName(file)) return Promise.resolve(file);
    throw new ShouldersError("settings_invalid", `"${file}" must end in .json or .yaml`);
  };
  const usualOut = path.join("my-configs", `${id}.json`);
  const out = await (flags.out !== undefined || questions === null
    ? useOut(flags.out ?? usualOut)
    : questions.askUntil("File of the config", usualOut, { signal, use: async (file) => useOut(file) }));
  const examples = await askExamples(flags.examples, ids, asking);
  return { id, out, base, reference, experts, examples, numMade, isForced: flags.force === true };
}

/** A file of examples that `calibrate` reads, and a person corrects. */
export function writeExamples(file: string, examples: readonly Example[]): void {
  const lines = examples.map(({ expert, prompt, answer }) => {
    const asked = prompt.type === "text" ? { prompt: prompt.text } : { messages: prompt.messages };
    return JSON.stringify({ expert, ...asked, ...(answer === null ? {} : { answers: [answer] }) });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}
