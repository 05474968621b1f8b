/** Every figure of the bench: its unit, what is to be reached, and what it is. */
export const figureTargets = {
  overhead_1: {
    unit: "ratio",
    is: "most",
    limit: 1.1,
    text: "A fused step (base + reference + 1 expert, one sequence) ÷ the sum of the bare `llama_decode` times of the same models",
  },
  overhead_8: {
    unit: "ratio",
    is: "most",
    limit: 1.15,
    text: "The same with 8 sequences and 2 experts",
  },
  solve_ms_1: {
    unit: "ms",
    is: "most",
    limit: 1,
    text: "Exact solve with 1 expert, V = 151,936, from rows to fused row",
  },
  solve_ms_4: { unit: "ms", is: "most", limit: 2.5, text: "The same with 4 experts" },
  solve_vs_grid: {
    unit: "times",
    is: "least",
    limit: 40,
    text: "Plain JavaScript 21-point grid ÷ that solve (1 expert), on the same rows",
  },
  public_api_ratio: {
    unit: "ratio",
    is: "most",
    limit: 0.05,
    text: "Fuse and sample a token through our path ÷ through node-llama-cpp's public logits API",
  },
  scaling_8: {
    unit: "times",
    is: "least",
    limit: 3,
    text: "Tokens a second over HTTP, 8 requests at once ÷ one (base + reference + 1 expert)",
  },
  entering_gap: {
    unit: "ratio",
    is: "most",
    limit: 3,
    text: "Gap between tokens of running requests, p99, while a prompt of the largest size is read ÷ without it",
  },
  prefix_ttft: {
    unit: "ratio",
    is: "most",
    limit: 0.25,
    text: "Time to first token over HTTP, second request with the same 400-token prefix ÷ first",
  },
  peer_1: {
    unit: "ratio",
    is: "least",
    limit: 0.95,
    text: "Tokens a second of the base alone through our HTTP stream ÷ llama-server's, 1 client",
  },
  peer_8: { unit: "ratio", is: "least", limit: 0.95, text: "The same with 8 clients" },
  memory_beyond_mb: {
    unit: "MB",
    is: "most",
    limit: 250,
    text: "Resident memory of both processes − weights, cells and compute buffers as libllama reports them (bench family, 8 sequences)",
  },
  memory_plan_error: {
    unit: "share",
    is: "most",
    limit: 0.1,
    text: "How far the memory that the server says it needs is from what both processes hold, as a share of the latter",
  },
  plan_error_gpu: {
    unit: "share",
    is: "most",
    limit: 0.1,
    text: "The same with all models on a GPU whose memory is main memory (Mesa's software device, Vulkan)",
  },
  loop_delay_ms: {
    unit: "ms",
    is: "most",
    limit: 20,
    text: "Event-loop delay p99 of the server process at full load (32 streams on the starter models)",
  },
  start_ratio: {
    unit: "ratio",
    is: "most",
    limit: 1.5,
    text: "Start of the process to ready with the shipped family: the first start ÷ one with `--threads 1`, in which nothing is measured",
  },
  start_ratio_second: {
    unit: "ratio",
    is: "most",
    limit: 1.1,
    text: "The same for the second start",
  },
  soak_mb_per_1000: {
    unit: "MB",
    is: "most",
    limit: 1,
    text: "Growth of both processes' resident memory per 1,000 short requests, 30 % cancelled, 10 % bad, after warm-up",
  },
  attack_held: {
    unit: "share",
    is: "least",
    limit: 1,
    text: "Attacks of test/attack, with 40 drawn siblings of each kind, after which server and engine live and the three bounds below hold",
  },
  attack_livez_ms: {
    unit: "ms",
    is: "most",
    limit: 250,
    text: "Longest wait of a neighbour for `/livez` under any of them",
  },
  attack_chat_ms: {
    unit: "ms",
    is: "most",
    limit: 500,
    text: "Longest wait of a neighbour for a chat of 4 tokens under any of them − the median of the idle server − one step",
  },
  attack_memory_mb: {
    unit: "MB",
    is: "most",
    limit: 200,
    text: "Most memory of server and engine together under any of them − what both hold when idle",
  },
  greedy_first_token: {
    unit: "ratio",
    is: "most",
    limit: 2,
    text: "First token of another key, p99, while one key keeps 600 requests going − one step, ÷ the same alone",
  },
  idle_livez_ms: {
    unit: "ms",
    is: "most",
    limit: 250,
    text: "Longest wait for `/livez` while 10,000 connections are open and silent",
  },
  restart_beyond_s: {
    unit: "s",
    is: "most",
    limit: 2,
    text: "From `kill -9` of the engine to ready while 100 clients retry − the server's own start",
  },
} satisfies Record<string, { unit: string; is: "most" | "least"; limit: number; text: string }>;

export type FigureId = keyof typeof figureTargets;
export const figureIds = Object.keys(figureTargets) as FigureId[];
