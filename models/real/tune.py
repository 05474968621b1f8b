"""LoRAs of the dwarf (the experts) and of the original (the ceiling) on the pair's tasks, by peft.

    python models/real/tune.py dwarf TASK LLAMA_CPP         work/TASK-lora.gguf, an adapter of the dwarf
    python models/real/tune.py original TASK LLAMA_CPP      work/original-TASK.Q8_0.gguf, merged

LLAMA_CPP is a checkout of llama.cpp (`git clone node_modules/node-llama-cpp/llama/gitRelease.bundle`).
Trained on `work/tasks/TASK-training.jsonl`, whose answers alone count. Minutes on a core.
"""

import json
import pathlib
import random
import subprocess
import sys

import torch
from peft import LoraConfig, get_peft_model

from heal import healed, original
from lora import collate
from text import WORK

BATCH, STEPS, RANK, ALPHA, SEED = 6, 40, 8, 16, 1
RATE = {"dwarf": 1e-3, "original": 1e-3}
MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def example(tokenizer, item):
    """Ids of a chat, and from where they are the answer's."""
    prompt = tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = tokenizer(item["answers"][0] + "<|im_end|>", add_special_tokens=False).input_ids
    return before + after, len(before)


def tuned(who, task):
    """(tokenizer, the model with its LoRA)."""
    torch.manual_seed(SEED)
    tokenizer, model = original()
    if who == "dwarf":
        model = healed(model)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=MATRICES, task_type="CAUSAL_LM")
    lora = get_peft_model(model, config)
    weights = [weight for weight in lora.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, RATE[who], weight_decay=0.0)
    items = [json.loads(line) for line in (WORK / f"tasks/{task}-training.jsonl").open()]
    examples = [example(tokenizer, item) for item in items]
    order = random.Random(SEED)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE[who] * min(1.0, (step + 1) / 5) * (1 - step / STEPS)
        ids, labels, mask = collate(order.sample(examples, BATCH))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = lora(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % 5 == 0:
            print(who, task, step + 1, round(loss.item(), 3), flush=True)
    return tokenizer, lora


def main(who, task, sources):
    torch.set_num_threads(1)
    tokenizer, lora = tuned(who, task)
    if who == "original":
        folder = WORK / f"original-{task}"
        lora.merge_and_unload().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        to = WORK / f"original-{task}.Q8_0.gguf"
        made = ["convert_hf_to_gguf.py", folder, "--outtype", "q8_0"]
    else:
        folder = WORK / f"{task}-adapter"
        for config in lora.peft_config.values():
            config.base_model_name_or_path = "dwarf"
        lora.save_pretrained(folder)
        to = WORK / f"{task}-lora.gguf"
        made = ["convert_lora_to_gguf.py", folder, "--base", WORK / "dwarf", "--outtype", "f32"]
    script, *rest = made
    subprocess.run([sys.executable, pathlib.Path(sources) / script, *rest, "--outfile", to], check=True)
    print(f"wrote {to}")


if __name__ == "__main__":
    main(*sys.argv[1:])
