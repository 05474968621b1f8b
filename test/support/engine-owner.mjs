// A process that starts an engine and does nothing else: for tests that kill it. Arguments: the child's entry, and
// the configs as JSON. Prints a line when the engine is ready, and then asks it for a text if there is one.
import { pino } from "pino";
import { samplingSchema } from "../../dist/config/fusion-config.js";
import { startEngine } from "../../dist/engine/client.js";
import { plainRequest } from "../../dist/protocol/protocol.js";

const [entry, configs, settings, text = ""] = process.argv.slice(2);
const engine = await startEngine({
  configs: JSON.parse(configs),
  settings: JSON.parse(settings),
  log: pino({ level: "silent" }),
  onProgress: () => undefined,
  entry: new URL(entry),
});
process.stdout.write("ready\n");
if (text !== "") {
  const request = {
    ...plainRequest,
    requestId: "one",
    configId: JSON.parse(configs)[0].config.id,
    prompt: { type: "text", text },
    sampling: samplingSchema.parse({}),
    maxTokens: 400,
  };
  for await (const event of engine.generate(request, new AbortController().signal))
    if (event.type === "delta") process.stdout.write("answers\n");
}
setInterval(() => undefined, 1_000);
