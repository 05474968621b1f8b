import type { Asker, Engine, Prompt, QueryResults } from "../protocol/protocol.js";

/** Where tokens are asked for: a started engine, one of its configs. */
export interface Tokenizing {
  engine: Pick<Engine, "query"> & Partial<Pick<Engine, "description">>;
  configId: string;
  asker?: Asker;
}

/** A prompt that an answer as text can stand behind. */
export type TextualPrompt = Exclude<Prompt, { type: "tokens" }>;

type Rendered = QueryResults["renderPrompt"]["prompts"][string];

/** An answer to a prompt of plain text as people write it: a space comes first, unless there is one. */
export function spaced(prompt: TextualPrompt, answer: string): string {
  const hasSpace = prompt.type === "chat" || /\s$/.test(prompt.text) || /^\s/.test(answer);
  return hasSpace ? answer : ` ${answer}`;
}

/** The prompt with an answer behind it, which does not end there. */
function withAnswer(prompt: TextualPrompt, answer: string): Prompt {
  if (prompt.type === "text") return { type: "text", text: prompt.text + answer };
  const { messages } = prompt;
  const begun = prompt.ending === "continue" ? messages.at(-1) : undefined;
  return {
    ...prompt,
    messages: [
      ...(begun === undefined ? messages : messages.slice(0, -1)),
      { role: "assistant", content: (begun?.content ?? "") + answer },
    ],
    ending: "continue",
  };
}

/** The prompt as the reference gets it or, where there is none or its tokens are others, the base. */
async function render({ engine, configId, asker }: Tokenizing, prompt: Prompt): Promise<Rendered> {
  const { prompts } = await engine.query({ type: "renderPrompt", configId, prompt }, asker);
  const config = engine.description?.configs.find(({ id }) => id === configId);
  const reference = config?.hasOtherVocabulary === true ? undefined : prompts.reference;
  return reference ?? prompts.base ?? { text: "", tokens: [] };
}

/** The tokens of a text by itself. `parseSpecial`: control tokens written out become ids. */
export async function tokensOf(
  { engine, configId, asker }: Tokenizing,
  text: string,
  parseSpecial: boolean,
): Promise<number[]> {
  const query = { type: "tokenize", configId, text, addSpecial: false, parseSpecial } as const;
  return [...(await engine.query(query, asker)).ids];
}

/**
 * The tokens of answers as they would stand after a prompt: what the chat template puts before them (a space, say)
 * included, what ends them left out. The prompt's own tokens stay as they are: an answer is never tokenized together
 * with them where that would change one.
 */
export async function answerTokens(
  asked: Tokenizing,
  prompt: TextualPrompt,
  answers: readonly string[],
): Promise<number[][]> {
  const before = await render(asked, prompt);
  const aside = (text: string) => tokensOf(asked, text, false);
  const behind = async (answer: string): Promise<Rendered | null> => {
    const { text, tokens } = await render(asked, withAnswer(prompt, answer));
    const isPrefix = before.tokens.every((token, index) => token === tokens[index]);
    if (!isPrefix || tokens.length === before.tokens.length) return null;
    return { text, tokens: tokens.slice(before.tokens.length) };
  };
  const [first = ""] = answers;
  const joint = await behind(first);
  const lead = joint && leadOf(before.text, joint.text, first);
  // Rendering takes every model's template and the whole prompt, so it is done once where that shows enough.
  const isAlike = joint !== null && lead !== null && areEqual(await aside(lead + first), joint.tokens);
  return Promise.all(
    answers.map(async (answer) =>
      isAlike ? aside(lead + answer) : ((await behind(answer))?.tokens ?? (await aside(answer))),
    ),
  );
}

/** What stands between a prompt and the answer behind it; null: they are not written one after the other. */
function leadOf(before: string, whole: string, answer: string): string | null {
  const isBehind = whole.startsWith(before) && whole.endsWith(answer);
  return isBehind ? whole.slice(before.length, whole.length - answer.length) : null;
}

function areEqual(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((token, index) => token === other[index]);
}
