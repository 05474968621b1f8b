import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";
import { mostConfigBytes, readTextFile } from "../config/read-text-file.js";
import { invalid } from "./tasks/read-rows.js";
import { type Item, isScorerName } from "./tasks/task.js";

/** What a module of one's own exports by default: a score from 0 to 1, or whether an answer is right. */
export type ScoreFunction = (
  answer: string,
  item: Pick<Item, "prompt" | "answers" | "choices">,
) => number | boolean | Promise<number | boolean>;

interface OwnScorer {
  score: ScoreFunction;
  /** Of the module's text: another one scores again. */
  digest: string;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function load(file: string): Promise<OwnScorer> {
  let digest: string;
  let exported: unknown;
  try {
    digest = createHash("sha256").update(readTextFile(file, mostConfigBytes)).digest("hex").slice(0, 16);
    exported = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
  } catch (error) {
    throw invalid(`${file}: not a scorer (${reasonOf(error)})`, error);
  }
  if (typeof exported !== "function")
    throw invalid(`${file}: it must export a function by default: (answer, item) => a number from 0 to 1`);
  return { score: exported as ScoreFunction, digest };
}

/** Scorers that users have written, by the absolute paths of their modules. */
export class OwnScorers {
  readonly #fileToScorer: ReadonlyMap<string, OwnScorer>;

  private constructor(fileToScorer: ReadonlyMap<string, OwnScorer>) {
    this.#fileToScorer = fileToScorer;
  }

  /** @throws ShouldersError `evaluation_invalid` that names the module. */
  static async of(items: readonly Item[]): Promise<OwnScorers> {
    const files = new Set(items.map(({ scorer }) => scorer).filter((scorer) => !isScorerName(scorer)));
    return new OwnScorers(
      new Map(await Promise.all([...files].map(async (file) => [file, await load(file)] as const))),
    );
  }

  /** What a scorer is, for a digest of it. */
  digestOf(scorer: string): string {
    return this.#fileToScorer.get(scorer)?.digest ?? scorer;
  }

  /** @throws ShouldersError `evaluation_invalid` for what throws or gives no score. */
  async score(answer: string, item: Item): Promise<number | null> {
    const { scorer, prompt, answers, choices } = item;
    const own = this.#fileToScorer.get(scorer);
    if (own === undefined) return null;
    let value: unknown;
    try {
      value = await own.score(answer, { prompt, answers, choices });
    } catch (error) {
      throw invalid(`${scorer}: threw for the answer ${JSON.stringify(answer)}: ${reasonOf(error)}`, error);
    }
    if (typeof value === "boolean") return value ? 1 : 0;
    if (typeof value === "number" && value >= 0 && value <= 1) return value;
    throw invalid(
      `${scorer}: gave ${String(value)} for the answer ${JSON.stringify(answer)}; give a number from 0 to 1`,
    );
  }
}
