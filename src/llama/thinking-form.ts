import {
  plainStyle,
  reasoningFields,
  type ReasoningAs,
  type StyledRenderer,
  type TurnStyle,
} from "./turn-style.js";
import type { ChatTurn, ThinkingForm } from "./types.js";

/** Reads off a template how it marks what a model thinks, by rendering a turn whose parts are known. */

export interface Thinking {
  form: ThinkingForm;
  /** null: the template never shows what was thought before. */
  reasoningAs: ReasoningAs | null;
}

const question: ChatTurn = { role: "user", content: "shoulders-question" };
const thought = "shoulders-thought";
const answer = "shoulders-answer";

/** Marks of templates that leave out what was thought, and so show nothing of them. */
const knownMarks = [
  ["<think>", "</think>"],
  ["<|inner_prefix|>", "<|inner_suffix|>"],
  ["<|channel>thought", "<channel|>"],
  ["<|START_THINKING|>", "<|END_THINKING|>"],
] as const;

/** @param text of the template */
export function findThinking(render: StyledRenderer, text: string): Thinking | null {
  for (const reasoningAs of reasoningFields) {
    const form = formWith(render, { ...plainStyle, reasoningAs });
    if (form) return { form: { ...form, ...preambleOf(form, text) }, reasoningAs };
  }
  const known = knownMarks.find(([opening, closing]) => text.includes(opening) && text.includes(closing));
  if (!known) return null;
  const reasoningAs = reasoningFields.find((field) => text.includes(field)) ?? null;
  return { form: { opening: known[0], closing: known[1], answer: "" }, reasoningAs };
}

/** Harmony's models speak in another channel than that of answers when calls follow. */
function preambleOf({ answer: mark }: ThinkingForm, text: string): Pick<ThinkingForm, "preamble"> {
  const preamble = mark.replace("<|channel|>final", "<|channel|>commentary");
  return preamble !== mark && text.includes("<|channel|>commentary") ? { preamble } : {};
}

function formWith(render: StyledRenderer, style: TurnStyle): ThinkingForm | null {
  try {
    const prompt = render([question], { addGenerationPrompt: true, tools: [] }, style);
    const written = (turn: ChatTurn) => {
      const text = render([question, turn], { addGenerationPrompt: false, tools: [] }, style);
      return { text, after: answerAfter(prompt, text) };
    };
    const { text, after } = written({ role: "assistant", content: answer, reasoning: thought });
    const [, before = "", between = ""] =
      /^([^]*?)shoulders-thought([^]*?)shoulders-answer/.exec(after) ?? [];
    // Written as a list, or as a dict's text: the template takes no such content.
    if (/['"]type['"]/.test(between)) return null;
    // A prompt may end with the mark.
    const head = text.slice(0, text.length - after.length).trimEnd();
    const opening =
      before.trim() === ""
        ? (/(?:<[^<>]*>\w+)?(?:<[^<>]*>|\[[^[\]]*\])$/.exec(head)?.[0] ?? "")
        : before.trim();
    const middle = between.trim();
    if (opening === "" || middle === "") return null;
    const plain = written({ role: "assistant", content: answer }).after;
    const mark = plain.slice(0, Math.max(0, plain.indexOf(answer))).trim();
    // What stands before an answer that was not thought about: nothing, an empty thought, or a mark of its own.
    const isOwn = mark !== "" && mark !== middle && middle.endsWith(mark) && !mark.startsWith(opening);
    // Some answers say so by the end of a thought that never began.
    const isEnd = mark === middle && before.trim() !== "";
    return {
      opening,
      closing: isOwn ? middle.slice(0, middle.length - mark.length).trim() : middle,
      answer: isOwn || isEnd ? mark : "",
    };
  } catch {
    return null;
  }
}

/** Less than any mark. */
const shortestEnd = 6;

/**
 * What a conversation has after a prompt. Where it goes on otherwise than the prompt ends, it is what follows the end of
 * the prompt, if that comes next, or the last place that both have and that is not within a mark.
 */
export function answerAfter(prompt: string, text: string): string {
  let common = 0;
  while (common < prompt.length && prompt[common] === text[common]) common++;
  if (common === prompt.length) return text.slice(common);
  for (let length = prompt.length - common; length >= shortestEnd; length--) {
    const end = prompt.slice(-length);
    const at = text.indexOf(end, Math.max(0, common - length));
    if (at >= 0 && at <= common) return text.slice(at + length);
  }
  const opened = /[<[][^<>[\]]*$/.exec(text.slice(0, common));
  return text.slice(opened ? opened.index : common);
}
