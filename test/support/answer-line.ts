import type { AnswerLine } from "../../src/evaluation/answers-file.js";

/** A line of an evaluation's answers: a right answer, but for what is said of it. */
export const answerLine = (parts: Partial<AnswerLine>): AnswerLine => ({
  key: "k",
  task: "recall",
  method: "m",
  item: 0,
  prompt: "?",
  expected: ["a"],
  answer: "a",
  score: 1,
  scoredBy: "",
  likelihoods: null,
  finishReason: "stop",
  promptTokens: 3,
  numTokens: 10,
  weights: null,
  shares: null,
  forward: null,
  flipped: null,
  skippedShare: null,
  startedAt: 0,
  firstTokenMs: 1,
  totalMs: 1000,
  error: null,
  ...parts,
});
