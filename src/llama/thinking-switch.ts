/** Names by which templates are told whether, and how much, a model is to think. */

type Variables = Readonly<Record<string, unknown>>;

/**
 * What to tell a template, the best first: some refuse values that they do not know.
 *
 * @param isThinking null: as the template has it
 * @param effort as OpenAI names it: minimal, low, medium, high; null: as the template has it
 */
export function switchVariables(isThinking: boolean | null, effort: string | null): Variables[] {
  if (isThinking === null && effort === null) return [{}];
  const on = isThinking ?? true;
  const known = on
    ? { enable_thinking: true, thinking: true, thinking_mode: "enabled" }
    : { enable_thinking: false, thinking: false, thinking_mode: "disabled", thinking_budget: 0 };
  // Where there is no way to say none, little is asked for.
  const efforts = on ? (effort === null ? [] : [effort, "high"]) : ["no_think", "none", "low"];
  return [...efforts.map((own) => ({ ...known, ...namesOf(own) })), known];
}

const namesOf = (effort: string): Variables => ({
  reasoning_effort: effort,
  thinking_effort: effort,
  reasoning_strength: effort,
});
