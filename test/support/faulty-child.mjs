// An engine child with faults behind its native door; the product has none of this. A fault happens when a
// batch takes a token sequence that ends a prompt with the fault's name, written by the tests as "!name!".
import { ShouldersError } from "../../dist/errors.js";
import { runWatchedEngine } from "./watched-child.mjs";

let isBroken = false;
const deviceLost = () => Promise.reject(new ShouldersError("decode_failed", "Decoding failed: device lost."));

const faults = {
  abort: () => process.abort(),
  exit: () => process.exit(3),
  segfault: () => process.kill(process.pid, "SIGSEGV"),
  hang: () => new Promise(() => undefined),
  block: () => {
    for (;;);
  },
  device: deviceLost,
  broken: () => {
    isBroken = true;
  },
};

/** Positions at which a fault is due, by the tokens of its name. */
function watchFaults(model, context) {
  const names = Object.keys(faults).map((name) => ({ name, tokens: model.tokenize(`!${name}!`, false) }));
  const nan = model.tokenize("!nan!", false);
  const seen = new Map();
  let due = null;
  let poisonedRow = -1;
  // The model that a backend is tried on has no letters: nothing stands for a fault there.
  const endsWith = (tokens, tail) =>
    tail.length > 0 && tail.every((token, i) => tokens[tokens.length - tail.length + i] === token);
  const add = context.batch.add.bind(context.batch);
  context.batch.add = (token, position, sequenceId, wantsRow) => {
    const tokens = position === 0 ? [] : (seen.get(sequenceId) ?? []);
    tokens.push(token);
    seen.set(sequenceId, tokens);
    const row = add(token, position, sequenceId, wantsRow);
    due ??= names.find((fault) => endsWith(tokens, fault.tokens))?.name ?? null;
    if (row >= 0 && endsWith(tokens, nan)) poisonedRow = row;
    return row;
  };
  const decode = context.decode.bind(context);
  context.decode = async () => {
    const name = due;
    due = null;
    if (name !== null) await faults[name]();
    if (isBroken) await deviceLost();
    await decode();
  };
  const logits = context.logits.bind(context);
  context.logits = (row) => {
    const values = logits(row);
    if (row !== poisonedRow) return values;
    poisonedRow = -1;
    return Float32Array.from(values, () => NaN);
  };
  return context;
}

runWatchedEngine((context, model) => watchFaults(model, context));
