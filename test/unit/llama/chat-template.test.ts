import { describe, expect, it } from "vitest";

import { createChatTemplate } from "../../../src/llama/chat-template.js";
import type { ChatTemplateOptions } from "../../../src/llama/chat-template.js";
import { toolIdMark, type ChatTurn } from "../../../src/llama/types.js";
import * as toolTemplates from "../../support/tool-templates.js";

const options: ChatTemplateOptions = {
  text: null,
  bosText: "<s>",
  eosText: "</s>",
  architecture: "llama",
  modelName: "model",
  fileName: "model.gguf",
};

const template = (text: string | null, changes: Partial<ChatTemplateOptions> = {}) =>
  createChatTemplate({ ...options, text, ...changes });

const conversation: ChatTurn[] = [
  { role: "user", content: "U1" },
  { role: "assistant", content: "A1" },
  { role: "user", content: "U2" },
];
const withSystem: ChatTurn[] = [{ role: "system", content: "S" }, ...conversation];

// As the models' files have them, shortened by tools and dates.
const chatMl =
  "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}" +
  "{%- else %}{{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}" +
  "{%- endif %}\n{%- for message in messages %}\n{%- if (message.role == 'user') or (message.role == 'system' and not " +
  "loop.first) or (message.role == 'assistant' and not message.tool_calls) %}\n{{- '<|im_start|>' + message.role + " +
  "'\n' + message.content + '<|im_end|>' + '\n' }}\n{%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}" +
  "{{- '<|im_start|>assistant\n' }}{%- endif %}\n";
const llama3 =
  "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + " +
  "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}" +
  "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}" +
  "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
const mistral =
  "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}" +
  "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}" +
  "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == " +
  "'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are " +
  "supported!') }}{% endif %}{% endfor %}";
const gemma =
  "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" +
  "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}" +
  "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + " +
  "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
const shipped =
  "{% for m in messages %}{% if m['role'] == 'user' %}Question: {{ m['content'] }}\nAnswer:{% elif m['role'] == " +
  "'assistant' %} {{ m['content'] }}\n{% endif %}{% endfor %}";

describe("the file's own template", () => {
  it("ChatML (Qwen2.5)", () => {
    const { source, render, turnEnd } = template(chatMl);
    expect(source).toBe("file");
    expect(render(withSystem)).toBe(
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n" +
        "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
    );
    expect(render(conversation.slice(0, 1))).toMatch(/^<\|im_start\|>system\nYou are Qwen/);
    expect(turnEnd).toBe("<|im_end|>");
  });

  it("Llama 3", () => {
    const { render, turnEnd } = template(llama3, { bosText: "<|begin_of_text|>" });
    expect(render(withSystem.slice(0, 2))).toBe(
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user" +
        "<|end_header_id|>\n\nU1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    );
    expect(turnEnd).toBe("<|eot_id|><|start_header_id|>user<|end_header_id|>");
  });

  it("Mistral, which refuses a system message: it goes before the question", () => {
    const { render, turnEnd } = template(mistral);
    expect(render(withSystem)).toBe("<s>[INST] S\nU1 [/INST]A1</s>[INST] U2 [/INST]");
    expect(turnEnd).toBe("</s>[INST]");
  });

  it("Gemma, which refuses a system message too", () => {
    const { render, turnEnd } = template(gemma, { bosText: "<bos>" });
    expect(render(withSystem)).toBe(
      "<bos><start_of_turn>user\nS\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n" +
        "<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n",
    );
    expect(turnEnd).toBe("<end_of_turn>");
  });

  it("the shipped models', without a space after the last word", () => {
    const { render, turnEnd } = template(shipped);
    expect(render(conversation)).toBe("Question: U1\nAnswer: A1\nQuestion: U2\nAnswer:");
    // Dropped silently by the template.
    expect(render(withSystem)).toBe("Question: S\nU1\nAnswer: A1\nQuestion: U2\nAnswer:");
    expect(turnEnd).toBe("\nQuestion:");
  });

  it("one that takes a list of parts only", () => {
    const parts =
      "{% for m in messages %}{% for part in m.content %}{{ part.text }};{% endfor %}{% endfor %}";
    expect(template(parts).render(conversation)).toBe("U1;A1;U2;");
  });

  it("is trimmed as Jinja in Hugging Face's tokenizers is", () => {
    const text =
      "{% for m in messages %}\n    {% if true %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}\n";
    expect(template(text).render(conversation)).toBe("U1\nA1\nU2\n");
  });

  it("that refuses a conversation makes a request invalid, in its own words", () => {
    expect(() => template(mistral).render([...conversation, { role: "user", content: "U3" }])).toThrow(
      expect.objectContaining({
        code: "invalid_request",
        param: "messages",
        message: expect.stringMatching(/roles must alternate/) as string,
      }) as Error,
    );
  });

  it("keeps a system message that comes last, or in the middle", () => {
    const turns: ChatTurn[] = [...conversation.slice(0, 2), { role: "system", content: "S" }];
    expect(template(mistral).render(turns)).toBe("<s>[INST] U1 [/INST]A1</s>[INST] S [/INST]");
  });
});

describe("a stand-in", () => {
  it("is found by the model's name", () => {
    const named = template(null, { modelName: "Meta Llama 3 8B Instruct", bosText: "<|begin_of_text|>" });
    expect(named.source).toBe("Llama 3");
    expect(named.problem).toBe("the file has no chat template");
    expect(named.render(withSystem.slice(0, 2))).toBe(
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>" +
        "<|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    );
  });

  it("is a general one otherwise", () => {
    expect(template(null, { bosText: "<bos>" }).render(conversation)).toBe(
      "<bos>### Human\nU1\n\n### Assistant\nA1\n\n### Human\nU2\n\n### Assistant\n",
    );
  });

  it.each(["{% if %}", "{{ nothing }}", "{{ messages | nofilter }}"])("takes the place of %s", (broken) => {
    const { source, problem } = template(broken, { bosText: "<bos>" });
    expect(source).toBe("General");
    expect(problem).toMatch(/^the file's chat template does not work: ./);
  });
});

describe("functions", () => {
  const tools = [{ name: "add", description: "Adds.", parameters: { type: "object", properties: {} } }];
  const call = (id: string, a: number) => ({ id, name: "add", arguments: JSON.stringify({ a }) });
  const turns: ChatTurn[] = [
    { role: "user", content: "U" },
    { role: "assistant", content: "", toolCalls: [call("call_1", 1), call("call_2", 2)] },
    { role: "tool", content: "R1", toolCallId: "call_1" },
    { role: "tool", content: "R2", toolCallId: "call_2" },
  ];

  it("Qwen: the form is read off, and calls and results are rendered in it", () => {
    const { toolForm, render } = template(toolTemplates.qwen);
    expect(toolForm).toEqual({
      opening: '<tool_call>\n{"name": "',
      middle: '", "arguments": ',
      between: '}\n</tool_call>\n<tool_call>\n{"name": "',
      ending: "}\n</tool_call>",
    });
    const text = render(turns, { tools });
    expect(text).toContain('"name": "add", "description": "Adds."');
    expect(text).toContain(
      '<|im_start|>assistant\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n<tool_call>\n' +
        '{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nR1\n' +
        "</tool_response>\n<tool_response>\nR2\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    );
    expect(render(turns.slice(0, 1))).not.toContain("Tools");
  });

  it("Llama 3.1: calls made together are rendered one by one, each with its result", () => {
    const { toolForm, render } = template(toolTemplates.llama3);
    expect(toolForm).toEqual({
      opening: '{"name": "',
      middle: '", "parameters": ',
      between: null,
      ending: "}",
    });
    const text = render(turns, { tools });
    const order = ['"parameters": {"a": 1}', "R1", '"parameters": {"a": 2}', "R2"].map((part) =>
      text.indexOf(part),
    );
    expect(order.every((place, index) => place > (order[index - 1] ?? 0))).toBe(true);
  });

  it("Mistral: ids have nine letters or digits, the same for call and result", () => {
    const { toolForm, render } = template(toolTemplates.mistral);
    expect(toolForm).toEqual({
      opening: '[TOOL_CALLS][{"name": "',
      middle: '", "arguments": ',
      between: `, "id": "${toolIdMark}"}, {"name": "`,
      ending: `, "id": "${toolIdMark}"}]`,
    });
    const ids = [...render(turns, { tools }).matchAll(/id": "(\w{9})"/g)].map(([, id]) => id);
    expect(ids).toEqual([ids[0], ids[1], ids[0], ids[1]]);
    expect(ids[0]).not.toBe(ids[1]);
  });

  it.each([
    ["no place for functions", shipped],
    ["arguments that are no JSON", toolTemplates.tagged],
    [
      "no place for results",
      "{% for t in tools %}{{ t.function.name }}{% endfor %}{{ messages[0].content }}",
    ],
  ])("%s: no form", (_name, text) => {
    expect(template(text).toolForm).toBeNull();
  });
});

describe("many calls and results", () => {
  /** Turns that count how often somebody looks at their calls and ids. */
  function counted(numCalls: number) {
    let numLooks = 0;
    const turns: ChatTurn[] = [{ role: "user", content: "U" }];
    for (let index = 0; index < numCalls; index += 2) {
      const ids = [`call${index}`, `call${index + 1}`];
      const toolCalls = ids.map((id) => ({
        get id() {
          numLooks++;
          return id;
        },
        name: "f",
        arguments: "{}",
      }));
      turns.push({ role: "assistant", content: "", toolCalls });
      for (const toolCallId of ids) turns.push({ role: "tool", content: toolCallId, toolCallId });
    }
    return { turns, numLooks: () => numLooks };
  }

  it.each(["qwen", "llama3"] as const)("are looked through once (%s)", (name) => {
    const looksOf = (numCalls: number) => {
      const { turns, numLooks } = counted(numCalls);
      expect(template(toolTemplates[name]).render(turns)).toContain(`call${numCalls - 1}`);
      return numLooks();
    };
    expect(looksOf(400)).toBe(10 * looksOf(40));
  });

  it("each result gets the name of the first call with its id", () => {
    const text =
      "{% for m in messages %}{% if m.role == 'tool' %}{{ m.name }}:{% endif %}{{ m.content }}" +
      "{% if m.tool_calls %}{% for call in m.tool_calls %}{{ call.function.name }}{% endfor %}{% endif %};{% endfor %}" +
      "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}";
    const call = (id: string, called: string) => ({ id, name: called, arguments: "{}" });
    const turns: ChatTurn[] = [
      { role: "user", content: "U" },
      { role: "tool", content: "early", toolCallId: "one" },
      { role: "assistant", content: "", toolCalls: [call("one", "f"), call("two", "g")] },
      { role: "tool", content: "R2", toolCallId: "two" },
      { role: "assistant", content: "", toolCalls: [call("one", "h")] },
      { role: "tool", content: "R1", toolCallId: "one" },
      { role: "tool", content: "R0", toolCallId: "none" },
    ];
    expect(template(text).render(turns)).toBe("U;f:early;fg;g:R2;h;f:R1;:R0;");
  });

  it("results come after their own calls where a template takes one at a time, also when ids come again", () => {
    const call = (id: string) => ({ id, name: "f", arguments: "{}" });
    const turns: ChatTurn[] = [
      { role: "user", content: "U" },
      { role: "assistant", content: "", toolCalls: [call("one"), call("two")] },
      { role: "tool", content: "R1", toolCallId: "one" },
      { role: "tool", content: "R2", toolCallId: "two" },
      { role: "assistant", content: "", toolCalls: [call("two"), call("one")] },
      { role: "tool", content: "R3", toolCallId: "one" },
      { role: "tool", content: "R4", toolCallId: "two" },
    ];
    const rendered = template(toolTemplates.llama3).render(turns);
    expect(rendered.match(/R\d/g)).toEqual(["R1", "R2", "R4", "R3"]);
  });
});

describe("a template that would never end, or fill the memory", () => {
  const loops = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
  const content = "{{ messages[0].content }}";
  const doubled = "{% set ns.x = ns.x ~ ns.x %}";

  it.each([
    ["loops", loops],
    ["macros that call each other", "{% macro f(g) %}{{ g(g) }}{{ g(g) }}{% endmacro %}{{ f(f) }}"],
    ["a long range", "{% set x = range(10 ** 12) %}"],
    ["a text doubled", `{% set ns = namespace(x='a') %}{% for a in range(99) %}${doubled}{% endfor %}`],
    [
      "a list doubled",
      "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    ],
    [
      "a long text many times",
      `{% set x %}${"x".repeat(9_000)}{% endset %}{% for a in range(9999) %}{{ x }}{% endfor %}`,
    ],
    ["more text than a template has", `{# ${"x".repeat(1 << 20)} #}`],
  ])("is not used, and why is told: %s", (_what, text) => {
    const { source, problem, warning } = template(text + content);
    expect(source).not.toBe("file");
    expect(problem).toMatch(/takes more than \d+ steps|Maximum call stack|has \d+ characters/);
    expect(warning).toContain(`the template "${source}" stands in for it`);
  });

  it("refuses the turns for which it would never end, naming its file, and renders others", () => {
    const { source, render } = template(`{% if messages|length > 2 %}${loops}{% endif %}${content}`);
    expect(source).toBe("file");
    expect(render(conversation.slice(0, 1))).toBe("U1");
    expect(() => render(conversation)).toThrow(
      expect.objectContaining({
        code: "invalid_request",
        message: expect.stringMatching(/model\.gguf refuses these messages: it takes more than/) as string,
      }),
    );
  });

  it("may go through long texts and many turns", () => {
    const { render } = template(chatMl);
    const many = Array.from({ length: 2_000 }, (_, index): ChatTurn => ({
      role: index % 2 === 0 ? "user" : "assistant",
      content: "x".repeat(1_000),
    }));
    expect(render(many).length).toBeGreaterThan(2_000_000);
  });
});
