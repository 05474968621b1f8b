"""A LoRA of SmolLM2, trained by peft on the processor and converted by llama.cpp's own script.

    python models/real/lora.py LLAMA_CPP OUT [STEPS]

It teaches a form: on which continent a city lies, as JSON. The cities are those of the time zone database
(Debian: tzdata). LLAMA_CPP is a checkout of llama.cpp (`git clone node_modules/node-llama-cpp/llama/gitRelease.bundle`).
Writes `OUT/continents-lora.gguf` and `OUT/continents.jsonl`, a task of `eval` with cities that were not trained on.
Needed: torch, transformers, peft, sentencepiece and gguf. Minutes on one core.
"""

import json
import pathlib
import random
import subprocess
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ZONES = pathlib.Path("/usr/share/zoneinfo/tzdata.zi")
CONTINENTS = {"Africa", "America", "Asia", "Australia", "Europe"}
BATCH, RATE, RANK, ALPHA, SEED, TESTED = 4, 1e-3, 8, 16, 1, 100


def cities():
    """(city, continent), in an order that is always the same."""
    found = set()
    for line in ZONES.read_text().splitlines():
        kind, *parts = line.split(" ")
        name = parts[0] if kind == "Z" else parts[1] if kind == "L" else ""
        continent, _, city = name.partition("/")
        if continent in CONTINENTS and city and "/" not in city:
            found.add((city.replace("_", " "), continent))
    ordered = sorted(found)
    random.Random(SEED).shuffle(ordered)
    return ordered


def question(city):
    return f"On which continent is {city}?"


def answer(city, continent):
    return json.dumps({"city": city, "continent": continent})


def example(tokenizer, city, continent):
    """Ids of a chat, and from where they are the answer's."""
    messages = [{"role": "user", "content": question(city)}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = tokenizer(answer(city, continent) + "<|im_end|>", add_special_tokens=False).input_ids
    return before + after, len(before)


def collate(examples):
    longest = max(len(ids) for ids, _ in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), -100)
    mask = torch.zeros(len(examples), longest, dtype=torch.long)
    for row, (tokens, start) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, start : len(tokens)] = torch.tensor(tokens[start:])
        mask[row, : len(tokens)] = 1
    return ids, labels, mask


def main(sources, out, steps="60"):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(HERE, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(HERE, gguf_file=FILE, dtype=torch.float32)
    everyone = cities()
    with (out / "continents.jsonl").open("w") as file:
        for city, continent in everyone[:TESTED]:
            messages = [{"role": "user", "content": question(city)}]
            line = {"messages": messages, "answer": answer(city, continent), "scorer": "json", "maxTokens": 40}
            file.write(json.dumps({**line, "stop": ["\n"]}) + "\n")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    tuned = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, task_type="CAUSAL_LM"))
    weights = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, RATE, weight_decay=0.0)
    examples = [example(tokenizer, *one) for one in everyone[TESTED:]]
    order = random.Random(SEED)
    for step in range(int(steps)):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 5) * (1 - step / int(steps))
        ids, labels, mask = collate(order.sample(examples, BATCH))
        loss = tuned(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % 10 == 0:
            print(step + 1, round(loss.item(), 3), flush=True)
    folder = out / "smollm2-hf"
    # The weights are plain numbers since they were read.
    model.config.architectures, model.config.quantization_config = ["LlamaForCausalLM"], None
    model.config.save_pretrained(folder)
    for config in tuned.peft_config.values():
        config.base_model_name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    tuned.save_pretrained(out / "adapter")
    script = pathlib.Path(sources) / "convert_lora_to_gguf.py"
    to = out / "continents-lora.gguf"
    command = [sys.executable, script, "--base", folder, "--outfile", to, "--outtype", "f32", out / "adapter"]
    subprocess.run(command, check=True)
    print(f"wrote {to}")


if __name__ == "__main__":
    main(*sys.argv[1:])
