import type { GrammarMachine } from "../../src/grammar/machine.js";

/** Bytes that end things come first: a random text would seldom end by itself. */
const closing = Buffer.from(`"}]0`);

/** A text of the grammar, byte by byte at random; null when it did not end in time. */
export function writeRandomly(machine: GrammarMachine, seed: number): string | null {
  let random = seed >>> 0;
  const draw = (below: number) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * below);
  };
  const bytes: number[] = [];
  let state = machine.start();
  while (bytes.length < 2000) {
    if (machine.isComplete(state) || (machine.accepts(state) && draw(2) === 0))
      return Buffer.from(bytes).toString();
    const allowed = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => machine.follow(state, Uint8Array.of(byte)) >= 0,
    );
    if (allowed.length === 0) throw new Error(`stuck after ${Buffer.from(bytes).toString()}`);
    const ends = allowed.filter((byte) => closing.includes(byte));
    const choice = ends.length > 0 && draw(3) > 0 ? ends : allowed;
    const byte = choice[draw(choice.length)] as number;
    bytes.push(byte);
    state = machine.tidy(machine.follow(state, Uint8Array.of(byte)));
  }
  return null;
}
