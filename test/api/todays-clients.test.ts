import { expect, it } from "vitest";
import { startTestServer } from "../support/server.js";

/** Bodies as programs of 2026 send them: each is taken, and what is not done of it is named. */

const messages = [{ role: "user", content: "hi" }];
const chat = { model: "both", messages };
const parameters = { type: "object", properties: { a: { type: "string" } }, required: ["a"] };
const tool = { type: "function", function: { name: "f", description: "d", parameters } };
const call = { id: "c", type: "function", function: { name: "f", arguments: '{"a":"b"}' } };
const called = { role: "assistant", content: "Let me see. ", tool_calls: [call] };
const result = { role: "tool", tool_call_id: "c", content: "x" };
const streamed = { stream: true, stream_options: { include_usage: true } };
const ephemeral = { cache_control: { type: "ephemeral" } };
const schema$ = "https://json-schema.org/draft/2020-12/schema";

it.each<[client: string, path: string, body: object, ignored?: string[]]>([
  // As their packages sent it when they were run.
  ["aider 0.86", "chat/completions", { ...chat, stream: true, temperature: 0 }],
  [
    "Continue 1.5, opencode 1.18, Cline 3.0",
    "chat/completions",
    { model: "both", max_tokens: 32000, messages: [{ role: "system", content: "s" }, ...messages, called, result], tools: [{ ...tool, function: { ...tool.function, parameters: { $schema: schema$, ...parameters } } }], tool_choice: "auto", ...streamed },
  ],
  [
    "Qwen Code 0.15",
    "chat/completions",
    { ...chat, messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }, called, { ...result, content: [{ type: "text", text: "x" }] }], tools: [tool], max_tokens: 8000, ...streamed },
  ],
  [
    "Codex 0.171",
    "responses",
    { model: "both", input: [{ type: "message", id: "m", role: "developer", content: [{ type: "input_text", text: "s" }] }, { type: "message", status: "completed", id: "a", role: "assistant", content: [{ type: "output_text", text: "Let me see. ", annotations: [], logprobs: [] }] }, { type: "function_call", status: "completed", id: "fc", name: "f", arguments: "{}", call_id: "c" }, { type: "function_call_output", id: "fco", call_id: "c", output: "x" }], tools: [{ type: "function", name: "f", strict: false, parameters }, { type: "namespace", name: "multi", description: "d", tools: [] }, { type: "custom", name: "apply_patch", description: "d", format: { type: "grammar", syntax: "lark", definition: 'start: "x" /(.+)/' } }, { type: "web_search", external_web_access: true }], tool_choice: "auto", parallel_tool_calls: true, reasoning: { summary: "auto" }, store: false, include: ["reasoning.encrypted_content"], prompt_cache_key: "k", client_metadata: { session_id: "s" }, stream: true },
    ["client_metadata", "tools.1", "tools.3"],
  ],
  [
    "Claude Code 2.1",
    "messages?beta=true",
    { model: "both", max_tokens: 32000, stream: true, thinking: { type: "adaptive" }, output_config: { effort: "high" }, context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] }, metadata: { user_id: "u" }, system: [{ type: "text", text: "s", ...ephemeral }], messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }, { role: "system", content: "Agents." }, { role: "assistant", content: [{ type: "text", text: "a" }, { type: "tool_use", id: "c", name: "f", input: {} }] }, { role: "user", content: [{ type: "tool_result", tool_use_id: "c", content: "x", is_error: false, ...ephemeral }] }], tools: [{ name: "f", description: "d", input_schema: { $schema: schema$, ...parameters } }, { type: "web_search_20250305", name: "web_search", max_uses: 8 }] },
    ["context_management", "tools.1"],
  ],
  // As their sources and pages have it.
  ["Open WebUI", "chat/completions", { ...chat, ...streamed, chat_id: "c", features: { web_search: false }, model_item: { id: "both" }, tool_servers: [], files: null }, ["chat_id", "features", "model_item"]],
  ["LibreChat", "chat/completions", { ...chat, stream: true, user: "u", stop: null, streamUsage: true, include_reasoning: true, maxContextTokens: 4000 }, ["streamUsage", "maxContextTokens"]],
  ["SillyTavern, chat", "chat/completions", { ...chat, type: "openai", top_k: 0, min_p: 0, top_a: 0, repetition_penalty: 1, logit_bias: {}, seed: -1, use_sysprompt: true, char_name: "c", reasoning_effort: "auto", json_schema: null, custom_url: "" }, ["type", "use_sysprompt", "char_name"]],
  ["SillyTavern, text", "completions", { model: "both", prompt: "hi", max_tokens: 50, typical_p: 1, sampler_seed: -1, dynamic_temperature: false, dynatemp_range: 0, smoothing_factor: 0, dry_multiplier: 0, dry_sequence_breakers: "[]", stopping_strings: ["\nU:"], mirostat_mode: 0, custom_token_bans: "", banned_strings: [], xtc_probability: 0, nsigma: 0, guidance_scale: 1, negative_prompt: "", json_schema: null, do_sample: true, ignore_eos: false, api_type: "vllm" }, ["sampler_seed", "dry_sequence_breakers", "api_type"]],
  ["Jan", "chat/completions", { ...chat, stream: true, tools: [], chat_template_kwargs: { enable_thinking: false }, thread_id: "t" }, ["thread_id"]],
  ["LM Studio", "chat/completions", { ...chat, ttl: 300, draft_model: "x" }, ["ttl", "draft_model"]],
  ["Zed", "chat/completions", { ...chat, max_completion_tokens: 4096, stop: [], parallel_tool_calls: false, tools: [tool], tool_choice: "auto", prompt_cache_key: "k", stream: true }],
  ["Cursor", "chat/completions", { ...chat, tools: [{ name: "f", description: "d", input_schema: parameters }], user: "u", ...streamed }],
  ["a flat function", "chat/completions", { ...chat, tools: [{ type: "function", name: "f", parameters }], tool_choice: { type: "function", name: "f" } }],
  ["JetBrains AI", "chat/completions", { ...chat, tools: [tool], tool_choice: { type: "auto" }, max_tokens: 1000 }],
  ["Roo Code", "chat/completions", { ...chat, messages: [{ role: "system", content: [{ type: "text", text: "s", ...ephemeral }] }, ...messages, { ...called, reasoning_details: [{ type: "reasoning.text", text: "x" }] }, result], tools: [tool], reasoning: { effort: "medium" }, ...streamed }],
  ["Goose", "chat/completions", { ...chat, tools: [{ ...tool, function: { name: "developer__shell", description: "d", parameters: { $schema: schema$, title: "T", ...parameters } } }], ...streamed }],
  ["n8n", "chat/completions", { ...chat, temperature: 1, n: 1, max_tokens: -1, response_format: { type: "text" } }],
  ["Dify", "chat/completions", { ...chat, response_format: { type: "json_schema", json_schema: { name: "o", strict: true, schema: { ...parameters, additionalProperties: false } } }, enable_thinking: null }],
  ["Flowise", "chat/completions", { ...chat, streaming: true, modelKwargs: {}, timeout: 1000 }, ["streaming", "timeout"]],
  ["AI SDK 6", "responses", { model: "both", input: [{ role: "developer", content: "s" }, { role: "user", content: [{ type: "input_text", text: "hi" }] }], text: { format: { type: "json_schema", strict: false, name: "response", schema: { $schema: schema$, ...parameters } } }, tools: [{ type: "web_search_preview" }], include: ["web_search_call.action.sources"], reasoning: { effort: "minimal", summary: "detailed" }, max_tool_calls: 3, truncation: "auto", stream: true }, ["tools.0", "truncation"]],
  ["LangChain", "chat/completions", { ...chat, tools: [{ type: "function", function: { name: "Joke", description: "", parameters: { type: "object", properties: { rating: { anyOf: [{ type: "integer" }, { type: "null" }], default: null } } } } }], tool_choice: { type: "function", function: { name: "Joke" } } }],
  ["LlamaIndex", "chat/completions", { ...chat, tool_choice: "required", tools: [{ ...tool, function: { ...tool.function, strict: true, parameters: { ...parameters, additionalProperties: false } } }] }],
  ["Haystack", "chat/completions", { ...chat, n: 1, tools: [{ ...tool, function: { ...tool.function, strict: false } }], ...streamed }],
  ["Semantic Kernel", "chat/completions", { ...chat, messages: [{ ...messages[0], name: "u" }], functions: null, logprobs: false, top_logprobs: null, service_id: "s" }, ["service_id"]],
  ["Spring AI", "chat/completions", { ...chat, streamUsage: false, internalToolExecutionEnabled: true, extra_body: {} }, ["internalToolExecutionEnabled"]],
  ["LiteLLM", "chat/completions", { ...chat, messages: [...messages, { role: "assistant", content: "x", tool_calls: null, function_call: null, provider_specific_fields: {}, thinking_blocks: [], images: [] }, ...messages], drop_params: true, thinking: { type: "enabled", budget_tokens: 1024 } }, ["thinking.budget_tokens", "drop_params"]],
  ["OpenRouter", "chat/completions", { ...chat, provider: { order: ["a"] }, transforms: ["middle-out"], route: "fallback", models: ["a"], reasoning: { effort: "high" }, usage: { include: true }, structured_outputs: true }, ["provider", "transforms", "route", "models", "usage"]],
  ["vLLM", "chat/completions", { ...chat, structured_outputs: { choice: ["a", "b"] }, priority: 0, documents: null, bad_words: [], length_penalty: 1, truncate_prompt_tokens: null, allowed_token_ids: null, guided_json: null }, ["priority", "length_penalty"]],
  ["SGLang", "chat/completions", { ...chat, regex: "[ab]", ebnf: null, separate_reasoning: true, rid: "x" }, ["rid"]],
  ["llama.cpp", "chat/completions", { ...chat, cache_prompt: true, id_slot: -1, reasoning_budget: -1, typ_p: 1, timings_per_token: true, return_progress: true, samplers: ["top_k"], lora: [], grammar_triggers: [] }, ["id_slot", "reasoning_budget", "timings_per_token", "return_progress", "samplers"]],
  ["Ollama", "chat/completions", { ...chat, keep_alive: "5m", think: true, options: { num_ctx: 8192, temperature: 0.2, num_predict: -1, repeat_penalty: 1.1, mirostat: 0, stop: ["x"] } }, ["num_ctx"]],
  ["Continue's autocompletion", "completions", { model: "both", prompt: "<fim_prefix>a<fim_suffix>b<fim_middle>", stop: ["<fim_prefix>", "\n\n", "```", "/src/", "#- coding: utf-8", "\ndef"], temperature: 0.01, stream: true, raw: true }],
  ["Mistral", "chat/completions", { ...chat, random_seed: 3, safe_prompt: false, messages: [...messages, { role: "assistant", content: "x", prefix: true }] }],
  ["DeepSeek, Kimi, GLM", "chat/completions", { ...chat, thinking: { type: "disabled" }, messages: [...messages, { role: "assistant", content: "x", partial: true }] }],
  ["a tool that says nothing", "chat/completions", { ...chat, messages: [...messages, { ...called, content: null, tool_calls: [{ ...call, function: { name: "f", arguments: "" } }] }, { ...result, content: null }] }],
])("%s", async (_, path, body, ignored = []) => {
  const server = await startTestServer();
  const response = await server.post(`/v1/${path}`, body);
  const text = await response.text();
  expect([response.status, text.slice(0, 300)]).toEqual([200, expect.anything()]);
  expect(new Set(JSON.parse(/"ignored":(\[[^\]]*\])/.exec(text)?.[1] ?? "[]") as string[])).toEqual(new Set(ignored));
  expect(server.engine.submitted).toHaveLength(1);
}); // prettier-ignore
