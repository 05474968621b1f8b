"""A LoRA of the shipped dwarf as people make one: trained by peft, converted by llama.cpp's own script.

    python models/recipe/lora.py LLAMA_CPP OUT [TASK]

LLAMA_CPP is a checkout of llama.cpp (`git clone node_modules/node-llama-cpp/llama/gitRelease.bundle`). Writes
`OUT/TASK-lora.gguf` and, merged by peft, `OUT/TASK-merged.gguf`. Needed: torch, transformers, peft and gguf.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

import model as llama
import settings as s
from gguf import read_gguf, write_gguf
from tasks import make_tasks
from tune import Batches, collate, encode_pairs

STEPS, BATCH, RATE, RANK, ALPHA = 120, 16, 4e-3, 8, 16
PARTS = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip


def name_there(name):
    """The weight's name in transformers."""
    if name.startswith("blk."):
        _, layer, part, _ = name.split(".")
        return f"model.layers.{layer}.{PARTS[part]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def turned(weight, heads, back):
    """Rows of queries and keys: llama.cpp turns neighbours, transformers the halves of a head."""
    size = weight.shape[0] // heads
    shape = (heads, 2, size // 2) if back else (heads, size // 2, 2)
    return weight.view(*shape, -1).transpose(1, 2).reshape(weight.shape)


def is_turned(name):
    return name.endswith(("attn_q.weight", "attn_k.weight"))


def there(own):
    """The same model in transformers."""
    shape = own.shape
    config = LlamaConfig(
        vocab_size=own.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.heads, intermediate_size=shape.hidden,
        rms_norm_eps=llama.EPSILON, rope_theta=llama.ROTARY_BASE, max_position_embeddings=s.CONTEXT,
        tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    other = LlamaForCausalLM(config).float()
    weights = {
        name_there(name): turned(weight, shape.heads, back=False) if is_turned(name) else weight
        for name, weight in own.state_dict().items()
    }
    missing, unexpected = other.load_state_dict(weights, strict=False)
    assert missing in ([], ["lm_head.weight"]) and not unexpected, (missing, unexpected)
    other.tie_weights()
    return other


def back(other, own):
    """Its weights in the recipe's model."""
    weights = other.state_dict()
    own.load_state_dict({
        name: turned(weights[name_there(name)], own.shape.heads, back=True) if is_turned(name) else weights[name_there(name)]
        for name in own.state_dict()
    })  # fmt: skip
    return own


def train(model, pairs):
    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], RATE, weight_decay=0.0)
    batches = Batches(pairs, BATCH, f"{s.SEED} lora")
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * (1 - step / STEPS)
        ids, answer = collate(batches.next())
        loss = F.cross_entropy(model(input_ids=ids[:, :-1]).logits[answer], ids[:, 1:][answer])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if (step + 1) % 50 == 0:
            print(step + 1, round(loss.item(), 3), flush=True)


def main(sources, out, task="problems"):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(s.SEED)
    own, tokenizer = read_gguf(s.MODELS / "family" / "dwarf.gguf")
    ids = torch.randint(own.vocabulary, (2, 40))
    other = there(own)
    with torch.no_grad():
        print("difference of the same model there:", (own(ids) - other(input_ids=ids).logits).abs().max().item())
    folder = out / "dwarf-hf"
    other.config.save_pretrained(folder)
    targets = [part.split(".")[1] for part in PARTS.values() if "." in part]
    tuned = get_peft_model(other, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, task_type="CAUSAL_LM"))
    train(tuned, encode_pairs(make_tasks()[task]["train"], tokenizer))
    tuned.save_pretrained(out / "adapter")
    write_gguf(out / f"{task}-merged.gguf", f"dwarf-{task}", back(tuned.merge_and_unload(), own), tokenizer, "f32")
    script = Path(sources) / "convert_lora_to_gguf.py"
    to = out / f"{task}-lora.gguf"
    subprocess.run([sys.executable, script, "--base", folder, "--outfile", to, "--outtype", "f32", out / "adapter"], check=True)
    print(json.dumps({"adapter": str(to), "bytes": to.stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
