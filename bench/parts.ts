import type { FigureId } from "./figures.js";
import { benchAdapters } from "./adapters.js";
import { benchAttack, benchGreedy, benchRestart, benchSilence } from "./attack.js";
import { benchBatch } from "./batch.js";
import { benchEntering } from "./entering.js";
import { benchFeedback } from "./feedback.js";
import { benchFusePool } from "./fuse-pool.js";
import { benchHotLoad } from "./hot-load.js";
import { benchJudge } from "./judge.js";
import { benchLoopDelay } from "./loop-delay.js";
import { benchMemory } from "./memory.js";
import { benchOverhead } from "./overhead.js";
import { benchPeer } from "./peer.js";
import { benchProxies } from "./proxies.js";
import { benchPublicApi } from "./public-api.js";
import { benchReplicas } from "./replicas.js";
import { benchPick, benchTurningTraffic } from "./ratings.js";
import { benchRemote } from "./remote.js";
import type { PartResult } from "./report.js";
import { benchRpc } from "./rpc.js";
import { benchBasePasses, benchSpeculation } from "./speculation.js";
import { benchStart } from "./start.js";
import { benchSoak } from "./soak.js";
import { benchSmallSolve, benchSolve } from "./solve-figures.js";
import { benchTraceBytes } from "./trace-bytes.js";
import { benchStep } from "./step.js";
import { benchPrefix, benchScaling } from "./throughput.js";
import { benchVocabularies } from "./vocabularies.js";

export interface PartOptions {
  /** Path of llama-server. */
  peer: string;
  wanted: readonly FigureId[];
}

/** A piece of the bench that is run as one. */
export interface Part {
  /** For pieces without a target: what --only calls them. */
  name: string;
  ids: readonly FigureId[];
  needsPeer?: boolean;
  run: (options: PartOptions) => PartResult | Promise<PartResult>;
}

export const parts: Part[] = [
  { name: "solve", ids: ["solve_ms_1", "solve_ms_4", "solve_vs_grid"], run: benchSolve },
  { name: "solve-small", ids: [], run: benchSmallSolve },
  { name: "fuse-pool", ids: [], run: benchFusePool },
  { name: "step", ids: [], run: benchStep },
  { name: "public-api", ids: ["public_api_ratio"], run: benchPublicApi },
  { name: "overhead-1", ids: ["overhead_1"], run: () => benchOverhead("overhead_1") },
  { name: "overhead-8", ids: ["overhead_8"], run: () => benchOverhead("overhead_8") },
  {
    name: "scaling",
    ids: ["scaling_8", "scaling_share_f16", "scaling_share_q8_0", "scaling_share_q4_k_m"],
    run: benchScaling,
  },
  {
    name: "speculation",
    ids: [
      ...(["fused_vs_base_1", "fused_vs_base_1_small", "fused_vs_base_8"] as const),
      ...(["fused_vs_base_8_small", "fused_vs_base_paper", "spec_overhead"] as const),
    ],
    run: ({ wanted }) => benchSpeculation(wanted),
  },
  {
    name: "base-passes",
    ids: ["base_passes_problems", "base_passes_headline"],
    run: ({ wanted }) => benchBasePasses(wanted),
  },
  {
    name: "remote",
    ids: ["rows_equal", "remote_certified", "remote_trips", "rows_added_ms"],
    run: benchRemote,
  },
  { name: "rpc", ids: ["rpc_equal", "rpc_added_ms"], run: benchRpc },
  { name: "batch", ids: [], run: benchBatch },
  { name: "feedback", ids: ["feedback_overhead", "fold_ms"], run: benchFeedback },
  { name: "turning-traffic", ids: [], run: benchTurningTraffic },
  { name: "pick", ids: [], run: benchPick },
  { name: "proxies", ids: [], run: benchProxies },
  { name: "replicas", ids: [], run: benchReplicas },
  { name: "judge", ids: [], run: benchJudge },
  { name: "vocabularies", ids: [], run: benchVocabularies },
  {
    name: "adapters",
    ids: ["adapter_texts", "adapter_memory", "adapter_speed"],
    run: benchAdapters,
  },
  { name: "entering", ids: ["entering_gap"], run: benchEntering },
  { name: "hot-load", ids: [], run: benchHotLoad },
  { name: "trace-bytes", ids: [], run: benchTraceBytes },
  { name: "prefix", ids: ["prefix_ttft"], run: benchPrefix },
  { name: "memory", ids: ["memory_beyond_mb", "memory_plan_error"], run: () => benchMemory("cpu") },
  { name: "memory-gpu", ids: ["plan_error_gpu"], run: () => benchMemory("vulkan") },
  { name: "loop-delay", ids: ["loop_delay_ms"], run: benchLoopDelay },
  {
    name: "peer",
    ids: ["peer_1", "peer_8"],
    needsPeer: true,
    run: ({ peer, wanted }) =>
      benchPeer(
        peer,
        ([1, 8] as const).filter((clients) => wanted.includes(`peer_${clients}`)),
      ),
  },
  { name: "start", ids: ["start_ratio", "start_ratio_second"], run: benchStart },
  { name: "soak", ids: ["soak_mb_per_1000"], run: benchSoak },
  {
    name: "attack",
    ids: ["attack_held", "attack_livez_ms", "attack_chat_ms", "attack_memory_mb"],
    run: benchAttack,
  },
  { name: "silence", ids: ["idle_livez_ms"], run: benchSilence },
  { name: "greedy", ids: ["greedy_first_token"], run: benchGreedy },
  { name: "restart", ids: ["restart_beyond_s"], run: benchRestart },
];
