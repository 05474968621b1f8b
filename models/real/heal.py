"""The dwarf: SmolLM2-135M-Instruct pruned in depth, healed by distillation from the original.

    python models/real/heal.py probe                      which layers to keep
    python models/real/heal.py sample [--chats N]         chats that the original writes
    python models/real/heal.py heal --minutes M           fits and trains, until M minutes are spent in all; goes on from its checkpoint
    python models/real/heal.py report                     perplexity on held-out text and chats
    python models/real/heal.py write LLAMA_CPP            the dwarf as GGUF in Q8_0, by llama.cpp's converter

The target is the original's law at each position. The token embedding, which is the output head too, and the first
FROZEN layers stay as they are: what those layers give is computed once, for both.
Needs torch, transformers, gguf and sentencepiece, and dpkg for the text.
"""

import argparse
import copy
import json
import math
import pathlib
import random
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from text import FILE, WORK, windows

HERE = WORK.parent
KEPT = [0, 1, 2, 7, 8, 10, 11, 15, 19, 20, 21, 22, 24, 27, 28, 29]  # layers; `probe` has chosen them
FROZEN = 2  # the lowest ones are not trained
LENGTH, SHARES = 256, {"chats": 1, "tasks": 1, "text": 1}  # windows of a batch
RATE, WARM, CLIP, HIDDEN_SHARE = 3e-4, 10, 1.0, 0.1
MOST = {"chats": 200, "tasks": 150, "text": 200}  # windows that are healed on: they come again
POSITIONS = 0.5  # share of the positions whose whole law is compared
FITTED, RIDGE = 128, 0.01  # windows to fit on before training; λ as a share of the mean of G's diagonal
SAVE_EVERY, SEED, HELD_CHATS = 180, 1, 8
COUNTS = "steps", "seconds", "core_seconds", "tokens"  # of a checkpoint
CHATS, TOGETHER, ANSWER, END = 96, 48, 128, "<|im_end|>"  # how the original's own chats are sampled


def original():
    """(tokenizer, model): the 4-bit file's weights as plain numbers."""
    tokenizer = AutoTokenizer.from_pretrained(HERE, gguf_file=FILE)
    folder = WORK / "original"
    if not folder.exists():
        packed = AutoModelForCausalLM.from_pretrained(HERE, gguf_file=FILE, dtype=torch.float32)
        dropped = ("quantization_config", "architectures", "model_type", "transformers_version")
        config = LlamaConfig(**{key: value for key, value in packed.config.to_dict().items() if key not in dropped})
        model = LlamaForCausalLM(config)
        model.load_state_dict(packed.state_dict())
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def pruned(model):
    """A copy that keeps some of the layers."""
    small = copy.deepcopy(model)
    small.model.layers = torch.nn.ModuleList([small.model.layers[layer] for layer in KEPT])
    for number, layer in enumerate(small.model.layers):
        layer.self_attn.layer_idx = number
    small.config.num_hidden_layers = len(KEPT)
    return small


@torch.no_grad()
def perplexity(model, held):
    """exp of the mean negative log-likelihood of each window's tokens but the first."""
    total = count = 0
    for start in range(0, len(held), 8):
        ids = torch.tensor(held[start : start + 8])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(ids, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden)
        loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
        total, count = total + loss.item(), count + ids[:, 1:].numel()
    return math.exp(total / count)


def part(body, layers):
    """The same body with some of its layers, which are shared, not copied."""
    other = copy.copy(body)
    other._modules = {**body._modules, "layers": torch.nn.ModuleList(layers)}
    other.config = copy.deepcopy(body.config)
    other.config.num_hidden_layers = len(layers)
    return other


@torch.no_grad()
def probe(fewest):
    """Takes one layer after another: always the one without which the law moves least, by KL on a window of text."""
    tokenizer, model = original()
    model = model.to(torch.bfloat16).eval()
    body, layers = model.model, list(model.model.layers)
    ids = torch.tensor(windows(tokenizer, LENGTH)[0][:1])
    start = body.embed_tokens(ids)

    def states(kept):
        return part(body, [layers[layer] for layer in kept])(
            inputs_embeds=start, use_cache=False, output_hidden_states=True
        )

    def law(hidden):
        return F.log_softmax(model.lm_head(hidden).float(), -1)

    kept = list(range(len(layers)))
    now = states(kept)
    wanted = law(now.last_hidden_state)
    while len(kept) > fewest:
        found = []
        for place in range(FROZEN, len(kept)):
            above = part(body, [layers[layer] for layer in kept[place + 1 :]])
            hidden = above(inputs_embeds=now.hidden_states[place], use_cache=False).last_hidden_state
            moved = F.kl_div(law(hidden), wanted, log_target=True, reduction="sum").item() / ids.numel()
            found.append((moved, place))
        moved, place = min(found)
        del kept[place]
        now = states(kept)
        print(f"{len(kept)} layers, KL {moved:.2f} nats: {kept}", flush=True)


@torch.no_grad()
def sample(count):
    """Chats that the original writes: a third from nothing, questions too, others on training items."""
    tokenizer, model = original()
    model = model.to(torch.bfloat16).eval()
    questions = [turns[:1] for turns in dialogues()]
    random.Random(SEED).shuffle(questions)
    asked = [tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False) for one in questions]
    opening = tokenizer.apply_chat_template([{"role": "user", "content": "X"}], tokenize=False).split("X")[0]
    prompts = [(opening, 2) if number % 3 == 0 else (asked[number], 1) for number in range(count)]
    torch.manual_seed(SEED)
    law = {"do_sample": True, "temperature": 1.0, "top_k": 0, "max_new_tokens": ANSWER, "pad_token_id": 0}
    model.generation_config.eos_token_id = None  # a chat from nothing goes on behind its question
    with (WORK / "chats.jsonl").open("w") as file:
        for start in range(0, count, TOGETHER):
            texts, turns = zip(*prompts[start : start + TOGETHER])
            given = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
            found = model.generate(given.input_ids, attention_mask=given.attention_mask, **law)
            for before, many, ids in zip(texts, turns, found[:, given.input_ids.shape[1] :]):
                parts = tokenizer.decode(ids).split(END)
                file.write(json.dumps(before + "".join(part + END for part in parts[:many])) + "\n")
            file.flush()
            print(start + len(texts), "chats", flush=True)


def dialogues():
    """The tasks' training items, as chats."""
    for path in sorted((WORK / "tasks").glob("*-training.jsonl")):
        for item in map(json.loads, path.open()):
            yield [*item["messages"], {"role": "assistant", "content": item["answers"][0]}]


def packed(tokenizer, talks):
    """Windows of LENGTH ids of whole chats behind each other."""
    ids = [token for text in talks for token in tokenizer(text, add_special_tokens=False).input_ids]
    return [ids[start : start + LENGTH] for start in range(0, len(ids) - LENGTH, LENGTH)]


def chats(tokenizer):
    """(for healing, held out): windows of chats that the original has written."""
    found = packed(tokenizer, [json.loads(line) for line in (WORK / "chats.jsonl").open()])
    return found[HELD_CHATS:], found[:HELD_CHATS]


def student(model):
    """The pruned model with what is trained marked, and the part of it above the shared layers."""
    small = pruned(model)
    small.requires_grad_(False)
    small.model.layers[FROZEN:].requires_grad_(True)
    small.model.norm.requires_grad_(True)
    upper = part(small.model, small.model.layers[FROZEN:])
    return small, upper


@torch.no_grad()
def fit(teacher, small, rows):
    """Lets the kept layers stand for those that were taken out behind them, before anything is trained.

    One layer after another gets the down projection W + C·(G + λ)⁻¹ with which the residual stream is nearest to what
    the next kept layer reads in the original: G = Σ a·aᵀ, C = Σ (original − dwarf)·aᵀ over tokens, a what the projection
    reads, each token weighed by the size of what is wanted. So do ReplaceMe (Shopkhoev et al. 2025) for one gap.
    """
    batches = [torch.tensor(rows[start : start + 8]) for start in range(0, len(rows), 8)]
    found = [teacher.model(ids, output_hidden_states=True, use_cache=False).hidden_states for ids in batches]
    now = [states[FROZEN] for states in found]
    for place in range(FROZEN, len(KEPT) - 1):
        layer, read, left = small.model.layers[place], [], []
        one, projection = part(small.model, [layer]), layer.mlp.down_proj
        hooks = [
            projection.register_forward_pre_hook(lambda _, given: read.append(given[0])),
            one.norm.register_forward_pre_hook(lambda _, given: left.append(given[0])),
        ]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for states in now:
                one(inputs_embeds=states.float(), use_cache=False)
        for hook in hooks:
            hook.remove()
        wide, tall = projection.weight.shape[1], projection.weight.shape[0]
        squares, moves, before, after = torch.zeros(wide, wide), torch.zeros(tall, wide), 0.0, 0.0
        for given, come, states in zip(read, left, found):
            wanted = states[KEPT[place + 1]].float()
            scale = wanted.pow(2).mean(-1, keepdim=True).rsqrt()
            error, given = ((wanted - come) * scale).flatten(0, 1), (given.float() * scale).flatten(0, 1)
            squares, moves, before = squares + given.T @ given, moves + error.T @ given, before + error.pow(2).mean()
        ridge = RIDGE * squares.diagonal().mean() * torch.eye(wide)
        change = torch.linalg.solve(squares + ridge, moves.T).T
        projection.weight += change
        now = [(come + given.float() @ change.T) for given, come in zip(read, left)]
        for come, states in zip(now, found):
            wanted = states[KEPT[place + 1]].float()
            after = after + ((wanted - come).pow(2).mean(-1) / wanted.pow(2).mean(-1)).mean()
        print(f"layer {KEPT[place]}: error {before / len(now):.3f} to {after / len(now):.3f}", flush=True)


@torch.no_grad()
def states(teacher, rows, cache):
    """What the shared layers and all of them make of each row; computed once, since rows come again."""
    new = [row for row in rows if tuple(row) not in cache]
    if new:
        found = teacher.model(torch.tensor(new), output_hidden_states=True, use_cache=False)
        for number, row in enumerate(new):
            cache[tuple(row)] = (found.hidden_states[FROZEN][number].clone(), found.last_hidden_state[number].clone())
    return [torch.stack(parts) for parts in zip(*(cache[tuple(row)] for row in rows))]


def divergence(shared, wanted, upper, head):
    """KL(original ‖ dwarf) in nats a token on a part of the positions, and the distance of the last hidden states."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = upper(inputs_embeds=shared.float(), use_cache=False).last_hidden_state
    wanted, found = wanted.flatten(0, 1), found.flatten(0, 1)
    near = (found.float() - wanted.float()).pow(2).mean() / wanted.float().pow(2).mean()
    chosen = torch.randperm(len(wanted))[: int(POSITIONS * len(wanted))]
    with torch.no_grad():
        law = F.log_softmax(F.linear(wanted[chosen], head).float(), -1)
    guess = F.log_softmax(F.linear(found[chosen].to(head.dtype), head).float(), -1)
    return F.kl_div(guess, law, log_target=True, reduction="batchmean"), near


def heal(minutes):
    tokenizer, model = original()
    small, upper = student(model)
    teacher = model.to(torch.bfloat16).eval()
    head = teacher.lm_head.weight.detach()
    tasks = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in dialogues()]
    random.Random(SEED).shuffle(tasks)
    sources = {"chats": chats(tokenizer)[0], "tasks": packed(tokenizer, tasks), "text": windows(tokenizer, LENGTH)[0]}
    sources = {name: source[: MOST[name]] for name, source in sources.items()}
    print({name: len(source) for name, source in sources.items()}, "windows", flush=True)
    weights = [weight for weight in small.parameters() if weight.requires_grad]
    start, begun = time.monotonic(), time.process_time()
    optimiser = torch.optim.AdamW(weights, RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    checkpoint = WORK / "dwarf.pt"
    step, spent, worked, seen = 0, 0.0, 0.0, 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        small.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent, worked, seen = (saved[name] for name in COUNTS)
    else:
        every = [row for source in sources.values() for row in source]
        fit(teacher, small, random.Random(SEED).sample(every, FITTED))
        torch.save(small.state_dict(), WORK / "fitted.pt")
    order, cache = random.Random(SEED + step), {}
    last, saved_at, worked_before = start, start, worked
    while spent < minutes * 60:
        rate = RATE * min(1, (step + 1) / WARM) * max(0.02, 1 - spent / (minutes * 60))
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = [row for name, many in SHARES.items() for row in order.sample(sources[name], many)]
        loss, near = divergence(*states(teacher, rows, cache), upper, head)
        optimiser.zero_grad(set_to_none=True)
        (loss + HIDDEN_SHARE * near).backward()
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimiser.step()
        now = time.monotonic()
        step, spent, seen, last = step + 1, spent + now - last, seen + len(rows) * LENGTH, now
        worked = worked_before + time.process_time() - begun
        if step % 10 == 0:
            print(f"{step} kl {loss.item():.3f} hidden {near.item():.3f} {spent / 60:.1f} min {seen} tokens", flush=True)
        if now - saved_at > SAVE_EVERY or spent >= minutes * 60:
            state = {"model": small.state_dict(), "optimiser": optimiser.state_dict()}
            counts = dict(zip(COUNTS, (step, spent, worked, seen)))
            torch.save({**state, **counts}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            saved_at = now


def healed(model, weights=None):
    """The dwarf, made of the original's weights and the checkpoint's."""
    small = pruned(model)
    small.load_state_dict(weights or torch.load(WORK / "dwarf.pt")["model"])
    return small


def report(held):
    tokenizer, model = original()
    spent = torch.load(WORK / "dwarf.pt")
    sets = {"text": windows(tokenizer, LENGTH)[1][:held], "chats": chats(tokenizer)[1]}
    fitted = healed(model, torch.load(WORK / "fitted.pt"))
    models = {"original": model, "pruned": pruned(model), "fitted": fitted, "healed": healed(model)}
    found = {
        "layers": {"kept": KEPT, "of": model.config.num_hidden_layers},
        "healing": {name: round(spent[name]) for name in COUNTS},
        "perplexity": {
            name: {kind: round(perplexity(one, held), 2) for kind, held in sets.items()} for name, one in models.items()
        },
    }
    (WORK / "dwarf.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def write(sources):
    tokenizer, model = original()
    folder = WORK / "dwarf"
    healed(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    script = pathlib.Path(sources) / "convert_hf_to_gguf.py"
    to = WORK / "smollm2-dwarf.Q8_0.gguf"
    subprocess.run([sys.executable, script, folder, "--outtype", "q8_0", "--outfile", to], check=True)
    print(f"wrote {to}")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe").add_argument("--layers", type=int, default=len(KEPT))
    commands.add_parser("sample").add_argument("--chats", type=int, default=CHATS)
    commands.add_parser("heal").add_argument("--minutes", type=float, required=True)
    commands.add_parser("report").add_argument("--held", type=int, default=32)
    commands.add_parser("write").add_argument("sources")
    given = parser.parse_args()
    torch.set_num_threads(2)
    if given.command == "probe":
        probe(given.layers)
    elif given.command == "sample":
        sample(given.chats)
    elif given.command == "heal":
        heal(given.minutes)
    elif given.command == "report":
        report(given.held)
    else:
        write(given.sources)


if __name__ == "__main__":
    main()
