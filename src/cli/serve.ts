import { isIPv6 } from "node:net";
import path from "node:path";
import { type RunningServer, startServer } from "../api/server.js";
import { loadApiKeys, requireKeysOnNetwork } from "../config/api-keys.js";
import { findFusionConfigs, type LoadedFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import type { ModelRouter } from "../engine/router.js";
import { ShouldersError } from "../errors.js";
import { MemoryStore } from "../store/memory-store.js";
import { PostgresStore } from "../store/postgres-store.js";
import { SqliteStore } from "../store/sqlite-store.js";
import type { Store } from "../store/store.js";
import { LineWriter, openSink } from "../line-writer.js";
import { type Logger, numDroppedLines } from "../log.js";
import { banner } from "./banner.js";
import { ModelServer } from "./model-server.js";
import { findWrongPaths, throwAll } from "./open-engine.js";
import { type SettingFlags, packageVersion, prepare } from "./run-time.js";
import { type Stop, untilAborted } from "./stop-signal.js";

/** What to write in a browser on this machine: an address that means "all of mine" is reached by the loopback. */
function toUrl({ host, port }: { host: string; port: number }): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

function openStore({ stateDir, databaseUrl }: Settings): Store {
  if (databaseUrl !== "") return new PostgresStore(databaseUrl);
  return stateDir === "" ? new MemoryStore() : new SqliteStore(path.join(stateDir, "shoulders.db"));
}

async function listen(engine: ModelRouter, settings: Settings, log: Logger): Promise<RunningServer> {
  const { host, port, traces, traceMegabytes, traceMinutes, responseMegabytes, responseMinutes } = settings;
  const { allowedHosts, allowedOrigins, requestsPerMinute, concurrentRequests } = settings;
  const keys = loadApiKeys(settings, process.env);
  requireKeysOnNetwork(settings, keys);
  try {
    return await startServer({
      engine,
      models: engine,
      host,
      port,
      log,
      version: packageVersion(),
      replica: settings.replica,
      numDroppedLogLines: numDroppedLines,
      access: { keys, allowedHosts, allowedOrigins, requestsPerMinute, concurrentRequests },
      keptTrace: traces,
      traceBytes: traceMegabytes * 2 ** 20,
      traceAgeMs: traceMinutes * 60_000,
      responseBytes: responseMegabytes * 2 ** 20,
      responseAgeMs: responseMinutes * 60_000,
      store: openStore(settings),
      takesFeedback: settings.feedback === "on",
      keepsTexts: settings.feedbackTexts === "on",
      feedbackBytes: settings.feedbackMegabytes * 2 ** 20,
      feedbackAgeMs: settings.feedbackDays * 86_400_000,
    });
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    const reason = code === "EADDRINUSE" ? "another program listens there" : message;
    throw new ShouldersError(
      "settings_invalid",
      `Cannot listen on ${host}:${port} (${reason}); choose another address with --host and --port.`,
      { cause: error },
    );
  }
}

/** Writes to standard output, whose reader may stop reading, or leave: a server goes on without. */
function say(text: string): void {
  process.stdout.removeAllListeners("error").on("error", () => undefined);
  const output = new LineWriter(openSink(1), { maxBytes: text.length * 4, describeDropped: () => "" });
  output.write(text);
  process.once("exit", () => output.flushAtExit());
}

/** The configs whose model files are where they say; of others it is said why they are left out. */
async function withFiles(configs: readonly LoadedFusionConfig[], log: Logger): Promise<LoadedFusionConfig[]> {
  const usable: LoadedFusionConfig[] = [];
  const all: ShouldersError[] = [];
  for (const config of configs) {
    const problems = await findWrongPaths(config);
    if (problems.length === 0) usable.push(config);
    all.push(...problems);
  }
  if (usable.length === 0) throwAll(all);
  for (const { message } of all) log.error(`this fusion config is left out: ${message}`);
  return usable;
}

/**
 * `shoulders serve`: listens at once (alive, not ready), loads the models, says where to ask, and serves until a
 * signal asks it to end.
 */
export async function serve(flags: SettingFlags, stop: Stop): Promise<number> {
  const { settings, log } = prepare(flags, "info");
  const configs = findFusionConfigs(settings.fusionConfigs, settings.load, (problem) =>
    log.error(`this fusion config is left out: ${problem}`),
  );
  const usable = settings.load.length > 0 ? configs : await withFiles(configs, log);
  const served = new ModelServer(usable, { settings, log });
  const server = await listen(served.router, settings, log);
  try {
    await untilOneEnds(served.start(), stop.signal);
    stop.onHangup = () => served.reloader.reloadAside();
    if (settings.watchConfigs === "on") served.reloader.watch();
    const shown = served.router.list().map(({ id }) => id);
    const configsShown = usable.flatMap(({ config }) => (shown.includes(config.id) ? [config] : []));
    say(banner(toUrl(server.address), configsShown, served.router.description));
    await untilAborted(stop.signal);
    log.info("stopping; answers in progress may finish");
    return 0;
  } finally {
    served.reloader.close();
    await server.close();
    await served.router.close();
  }
}

/** Ends with what is begun, or with the signal's reason. */
async function untilOneEnds(begun: Promise<void>, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<never>((_, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  await Promise.race([begun, stopped]);
}
