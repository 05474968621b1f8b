// Loads model files one after the other as the engine does, and decodes a few tokens with those that load. Says a line
// for each: what became of it. A file that ends the process is the one that was begun last.
import { openLibrary } from "../../dist/llama/library.js";
import { inMainMemory } from "../../dist/llama/types.js";

const library = await openLibrary({ backend: "cpu" });
const contextOptions = { numCells: 64, numSequences: 1, batchTokens: 64, maxRows: 2, threads: 1 };
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

for (const file of process.argv.slice(2)) {
  say({ file, outcome: "begun" });
  try {
    const model = await library.loadModel(file, {
      placement: inMainMemory,
      onProgress: () => undefined,
    });
    const context = model.createContext(contextOptions);
    const tokens = model.tokenize("The birth year of", false).slice(0, 8);
    await model.renderChat([{ role: "user", content: "hi" }]);
    tokens.forEach((token, position) =>
      context.batch.add(token, position, 0, position === tokens.length - 1),
    );
    await context.decode();
    await model[Symbol.asyncDispose]();
    say({ file, outcome: "decoded" });
  } catch (error) {
    say({ file, outcome: "refused", code: error.code ?? null, message: String(error.message).slice(0, 300) });
  }
}
await library[Symbol.asyncDispose]();
