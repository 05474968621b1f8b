import { Counter } from "prom-client";
import type { Engine, StepSample } from "../protocol/protocol.js";
import type { Meters } from "./meters.js";

const stepBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** What an engine tells of itself, and of its steps. */
export function observeEngine(meters: Meters, engine: Engine): void {
  showSequences(meters, engine);
  showDecoding(meters, engine);
  showPlan(meters, engine);
  countRestarts(meters, engine);
  measureSteps(meters, engine);
}

function showSequences(meters: Meters, engine: Engine): void {
  meters.gauge("sequences_running", "Sequences that generate.", (gauge) => {
    gauge.set(engine.stats.running);
  });
  meters.gauge("requests_waiting", "Requests that wait for a sequence.", (gauge) => {
    gauge.set(engine.stats.waiting);
  });
  meters.gauge(
    "kv_cells_used_ratio",
    "Share of a model's sequence memory in use.",
    (gauge) => {
      for (const [model, { used, total }] of Object.entries(engine.stats.cells))
        gauge.set({ model }, total > 0 ? used / total : 0);
    },
    ["model"],
  );
  meters.gauge(
    "fullest_cells_used_ratio",
    "Share in use of the sequence memory that is fullest.",
    (gauge) => {
      gauge.set(
        Math.max(0, ...Object.values(engine.stats.cells).map(({ used, total }) => used / total || 0)),
      );
    },
  );
  meters.gauge(
    "engine_resident_memory_bytes",
    "Resident memory of the engine process, which holds the models.",
    (gauge) => {
      gauge.set(engine.stats.residentBytes);
    },
  );
  meters.gauge("cached_sequences", "Finished sequences kept for prompts that begin like them.", (gauge) => {
    gauge.set(engine.stats.cached);
  });
}

function showDecoding(meters: Meters, engine: Engine): void {
  meters.gauge(
    "decode_threads",
    "Threads of a model's decode; mode: models of a step decode together or in turn.",
    (gauge) => {
      const { mode = "", threads = {} } = engine.description?.decoding ?? {};
      for (const [model, count] of Object.entries(threads)) gauge.set({ model, mode }, count);
    },
    ["model", "mode"],
  );
  meters.gauge(
    "batch_cost_ratio",
    "What a batch of so many tokens, of which so many gave a row, took a model when it was timed, by what one token took.",
    (gauge) => {
      for (const [model, points] of Object.entries(engine.description?.decoding.curves ?? {}))
        for (const { tokens, rows, ms } of points)
          gauge.set({ model, tokens, rows }, ms / (points[0]?.ms ?? ms));
    },
    ["model", "tokens", "rows"],
  );
}

function showPlan(meters: Meters, engine: Engine): void {
  const places = () => engine.description?.memory ?? [];
  meters.gauge(
    "planned_memory_bytes",
    "What was planned for a device or main memory before models were loaded.",
    (gauge) => {
      for (const { name: device, buffers, programBytes } of places())
        for (const [kind, bytes] of Object.entries({ ...buffers, programs: programBytes }))
          gauge.set({ device, kind }, bytes);
    },
    ["device", "kind"],
  );
  meters.gauge(
    "free_memory_bytes",
    "What was free there then.",
    (gauge) => {
      for (const { name: device, freeBytes } of places()) gauge.set({ device }, freeBytes);
    },
    ["device"],
  );
}

function countRestarts(meters: Meters, engine: Engine): void {
  let numCounted = 0;
  new Counter({
    name: "shoulders_engine_restarts_total",
    help: "Engine processes started after the first.",
    registers: [meters.registry],
    collect() {
      this.inc(engine.numRestarts - numCounted);
      numCounted = engine.numRestarts;
    },
  });
}

function measureSteps(meters: Meters, engine: Engine): void {
  const decode = meters.histogram("decode_seconds", "A model's decode in a step.", ["model"], stepBuckets);
  const solve = meters.histogram("solve_seconds", "Solve and fuse of a step's rows.", [], stepBuckets);
  const batch = meters.summary(
    "batch_seconds",
    "A batch of at most so many tokens (1, 2, 4 … 32), by model.",
    ["model", "tokens"],
  );
  const remote = {
    requests: meters.counter("base_requests_total", "Requests to a base's server, retries included.", [
      "model",
    ]),
    retries: meters.counter("base_retries_total", "Of those, the ones that were sent again.", ["model"]),
    failures: meters.counter(
      "base_failures_total",
      "Answers that ended because a base's server could not be asked.",
      ["model"],
    ),
    roundTrips: meters.counter("base_round_trips_total", "Steps that waited for a base's server.", ["model"]),
    bytesSent: meters.counter("base_sent_bytes_total", "What a base's server was sent.", ["model"]),
    bytesReceived: meters.counter("base_received_bytes_total", "What it sent.", ["model"]),
  };
  engine.onStep(({ decodeMs, batches, fuseMs, rows, remote: news = {} }: StepSample) => {
    for (const [model, stats] of Object.entries(news))
      for (const name of Object.keys(remote) as (keyof typeof remote)[])
        remote[name].inc({ model }, stats[name]);
    for (const { model, tokens, ms } of batches) batch.observe({ model, tokens }, ms / 1000);
    for (const [model, ms] of Object.entries(decodeMs)) decode.observe({ model }, ms / 1000);
    if (rows > 0) solve.observe(fuseMs / 1000);
  });
}
