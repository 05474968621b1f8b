import type { FinishReason, GeneratedToken, GenerationEvent } from "../protocol/protocol.js";
import type { Sequence } from "./sequence.js";
import type { AnswerParts } from "./answer-stream.js";

/**
 * Appends a drawn token to its sequence, in every model, and says what the client may see of it. The sequence
 * is over when the last event is `done`.
 *
 * @param isEnd whether a token ends the answer, for its request or any of its models.
 */
export function commit(
  sequence: Sequence,
  generated: GeneratedToken,
  isEnd: (token: number) => boolean,
): GenerationEvent[] {
  const token = generated.record.token.id;
  sequence.append(token);
  sequence.sampler.accept(token);
  const isForced = sequence.numGenerated <= sequence.forced.length;
  if (!isForced && isEnd(token))
    return [...delta(sequence, sequence.text.finish()), done(sequence, "stop", [generated])];
  const released = sequence.text.push(generated, generated.bytes);
  if (hasStopped(sequence)) return [...delta(sequence, released), done(sequence, "stop", [])];
  const { isComplete } = sequence.sampler;
  if (!sequence.isFull && !isComplete) return delta(sequence, released);
  const rest = sequence.text.finish(!isComplete);
  const all = {
    reasoning: released.reasoning + rest.reasoning,
    text: released.text + rest.text,
    thoughts: [...released.thoughts, ...rest.thoughts],
    tokens: [...released.tokens, ...rest.tokens],
  };
  const isStop = isComplete || hasStopped(sequence);
  return [...delta(sequence, all), done(sequence, isStop ? "stop" : "length", [])];
}

/** Whether its text has come to a stop string. */
function hasStopped({ text }: Sequence): boolean {
  return text.stopFound !== null;
}

function delta(
  sequence: Sequence,
  { reasoning, text, thoughts, tokens }: AnswerParts<GeneratedToken>,
): GenerationEvent[] {
  sequence.numThought += thoughts.length;
  for (const { record } of thoughts) record.thought = true;
  const all = [...thoughts, ...tokens];
  if (all.length === 0 && text === "" && reasoning === "") return [];
  return [{ type: "delta", ...(reasoning !== "" && { reasoning }), text, tokens: all }];
}

/** The last event of a sequence. `endTokens`: drawn but not text, such as the end of sequence. */
export function done(
  sequence: Sequence,
  finishReason: FinishReason,
  endTokens: readonly GeneratedToken[],
): GenerationEvent {
  return {
    type: "done",
    finishReason,
    stopString: sequence.text.stopFound,
    tokens: [...sequence.text.takeHidden(), ...endTokens],
    usage: {
      promptTokens: sequence.promptTokens,
      completionTokens: sequence.numGenerated,
      cachedTokens: sequence.cachedTokens,
      reasoningTokens: sequence.numThought,
      fusion: sequence.fusionUsage,
    },
    queueMs: sequence.queueMs,
    feature: sequence.feature,
  };
}
