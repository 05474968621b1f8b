/** Templates with a place for functions, as models' files have them, shortened. */

/** Qwen 2.5, Hermes. */
export const qwen =
  "{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}" +
  "{%- else %}{{- 'You are a helpful assistant.' }}{%- endif %}{{- '\\n\\n# Tools\\n\\n<tools>' }}{%- for tool in tools %}" +
  "{{- '\\n' }}{{- tool | tojson }}{%- endfor %}{{- '\\n</tools><|im_end|>\\n' }}{%- elif messages[0]['role'] == 'system' %}" +
  "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}{%- endif %}{%- for message in messages %}" +
  "{%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}" +
  "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- elif message.role == 'assistant' %}" +
  "{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}" +
  "{%- for tool_call in message.tool_calls %}{%- set tool_call = tool_call.function %}" +
  '{{- \'\\n<tool_call>\\n{"name": "\' + tool_call.name + \'", "arguments": \' }}{{- tool_call.arguments | tojson }}' +
  "{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- elif message.role == 'tool' %}" +
  "{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}" +
  "{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}" +
  "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}{%- endif %}" +
  "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/** Llama 3.1: one call at a time. */
export const llama3 =
  "{% for message in messages %}{% if message.role == 'tool' %}{{ '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + " +
  "message.content + '<|eot_id|>' }}{% elif message.tool_calls %}{% if message.tool_calls | length != 1 %}" +
  "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}" +
  "{% set call = message.tool_calls[0].function %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}" +
  "{{ '{\"name\": \"' + call.name + '\", \"parameters\": ' }}{{ call.arguments | tojson }}{{ '}<|eot_id|>' }}{% else %}" +
  "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}{% endif %}" +
  "{% if loop.first and tools is not none and tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

/** Mistral Nemo: a control token, and ids of nine characters. */
export const mistral =
  "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{% if tools and loop.first %}" +
  "{{ '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}{{ '[INST]' + message.content + '[/INST]' }}" +
  "{% elif message.tool_calls %}{{ '[TOOL_CALLS][' }}{% for call in message.tool_calls %}{% if call.id | length != 9 %}" +
  "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}" +
  '{{ \'{"name": "\' + call.function.name + \'", "arguments": \' + (call.function.arguments | tojson) + \', "id": "\' + ' +
  "call.id + '\"}' }}{% if not loop.last %}{{ ', ' }}{% endif %}{% endfor %}{{ ']' + eos_token }}" +
  "{% elif message.role == 'tool' %}{{ '[TOOL_RESULTS]{\"content\": ' + message.content + ', \"call_id\": \"' + " +
  "message.tool_call_id + '\"}[/TOOL_RESULTS]' }}{% elif message.role == 'assistant' %}" +
  "{{ message.content + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}" +
  "{% endif %}{% endfor %}";

/** Arguments as tags, as Qwen 3 Coder has them: not a form in which they are JSON. */
export const tagged =
  "{% for t in tools %}{{ t.function.name }}{% endfor %}{% for message in messages %}{{ message.role + ': ' + message.content }}" +
  "{% for call in message.tool_calls %}{{ '<tool_call><function=' + call.function.name + '>' }}" +
  "{% for key, value in call.function.arguments | items %}{{ '<parameter=' + key + '>' + value + '</parameter>' }}" +
  "{% endfor %}{{ '</function></tool_call>' }}{% endfor %}{% endfor %}";
