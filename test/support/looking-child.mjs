// An engine child that stands still, once the file LOOK_STOP names is there, in the middle of a step in which small
// models of another vocabulary than that of giant.gguf are asked ahead. The product has none of this.
import { existsSync, rmSync } from "node:fs";
import { runWatchedEngine } from "./watched-child.mjs";

let numBase = 0;

function watchLooks(context, isBase) {
  const decode = context.decode.bind(context);
  let numAtLast = -1;
  context.decode = async () => {
    if (isBase) numBase++;
    // Not the first decode since the base's: it looks ahead.
    else if (numAtLast === numBase && existsSync(process.env.LOOK_STOP)) {
      rmSync(process.env.LOOK_STOP);
      process.kill(process.pid, "SIGSTOP");
    }
    numAtLast = numBase;
    await decode();
  };
  return context;
}

runWatchedEngine((context, { path }) => watchLooks(context, path.endsWith("giant.gguf")));
