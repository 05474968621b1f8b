// Compares the recipe's tokenizer and a model file's logits with llama.cpp's:
// node check-tokens.mjs FILE.gguf PROBES.json, where PROBES is a list of [text, ids].
import { readFileSync } from "node:fs";
import { getLlama } from "node-llama-cpp";

const [modelPath, probesPath] = process.argv.slice(2);
if (!modelPath || !probesPath) throw new Error("Give a model file and a file of probes.");
const probes = JSON.parse(readFileSync(probesPath, "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath, vocabOnly: true });
const differing = probes.filter(([text, ids]) => {
  const theirs = model.tokenize(text, false, "trimLeadingSpace");
  return JSON.stringify([...theirs]) !== JSON.stringify(ids);
});
for (const [text, ids] of differing.slice(0, 5)) {
  console.error(JSON.stringify({ text, ours: ids, theirs: [...model.tokenize(text, false)] }));
}
console.log(`${probes.length - differing.length} of ${probes.length} texts agree with llama.cpp`);
await llama.dispose();
process.exitCode = differing.length === 0 ? 0 : 1;
