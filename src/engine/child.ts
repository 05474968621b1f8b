import { openLibrary } from "../llama/library.js";
import { runEngineProcess } from "./process.js";

/** The engine child's entry. */
runEngineProcess(openLibrary);
