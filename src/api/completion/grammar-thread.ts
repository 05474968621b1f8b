import { ShouldersError, type ErrorData } from "../../errors.js";
import type { ToolPlan } from "../openai/tools.js";
import { answerGrammar, type AnswerFields, type AnswerGrammar } from "./answer-grammar.js";

/** Runs in a thread of its own, beside the server's. */

export interface GrammarTask {
  body: AnswerFields;
  tools: ToolPlan | null;
}

export type WrittenGrammar = { grammar: AnswerGrammar } | { refused: ErrorData };

/** @throws what is no refusal */
export default function write({ body, tools }: GrammarTask): WrittenGrammar {
  try {
    return { grammar: answerGrammar(body, tools, false) };
  } catch (thrown) {
    if (thrown instanceof ShouldersError) return { refused: thrown.toData() };
    throw thrown;
  }
}
