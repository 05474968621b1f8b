import { Socket } from "node:net";
import { lifelineDescriptor } from "./lifeline.js";

const lifeline = new Socket({ fd: lifelineDescriptor, readable: true, writable: false });
// An error closes it too. Native threads that still run can make any gentler end wait for them for ever.
lifeline.on("error", () => undefined);
lifeline.on("close", () => process.kill(process.pid, "SIGKILL"));
lifeline.resume();
