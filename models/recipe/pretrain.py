"""Pretraining with checkpoints: a run that was cut off goes on where it stopped."""

import os
import time

import torch
from torch.nn import functional as F

import settings as s
from corpus import Stream, shard_tokens
from model import Llama
from optimise import pretraining_optimisers, set_rates

HELD_OUT = -1  # the shard that no model trains on
SAVE_EVERY = 50
SECOND_WARMUP = 20


def rate_share(step, plan):
    """Linear warmup, a level stretch, and a linear way down over the last part; then the second round."""
    if step >= plan.steps:
        into = step - plan.steps
        return plan.again_share * min((into + 1) / SECOND_WARMUP, max(0.02, 1 - into / plan.again))
    down = plan.steps * (1 - plan.decay)
    return min((step + 1) / plan.warmup, 1.0, max(0.02, (plan.steps - step) / (plan.steps - down)))


def save(path, state):
    """Written beside and moved into place, so that a cut never leaves half a file."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    os.replace(beside, path)


def cross_entropy(model, inputs, targets):
    logits = model(torch.from_numpy(inputs))
    return F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())


@torch.no_grad()
def held_out_loss(model, tokenizer, window=128, rows=64):
    tokens = shard_tokens(tokenizer, HELD_OUT).astype("int64")[: rows * window + 1]
    return cross_entropy(model, tokens[:-1].reshape(rows, window), tokens[1:].reshape(rows, window)).item()


def train_step(model, optimisers, stream, plan, step):
    window = s.CONTEXT if step >= plan.long_from * plan.steps else plan.window
    loss = cross_entropy(model, *stream.batch(plan.tokens // window, window))
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    set_rates(optimisers, rate_share(step, plan))
    for optimiser in optimisers:
        optimiser.step()
    return loss.item()


def resume(path, model, optimisers, tokenizer):
    if not path.exists():
        return 0, 0.0, Stream(tokenizer)
    state = torch.load(path)
    model.load_state_dict(state["model"])
    for optimiser, kept in zip(optimisers, state["optimisers"]):
        optimiser.load_state_dict(kept)
    return state["step"], state["seconds"], Stream(tokenizer, *state["place"])


def pretrain(name, tokenizer):
    """Trains `name` ("giant" or "dwarf") to the end of its plan; returns model and record."""
    plan, path = s.PRETRAIN[name], s.WORK / f"{name}.pt"
    torch.manual_seed(s.SEED)
    model = Llama(s.SHAPES[name], s.VOCABULARY)
    optimisers = pretraining_optimisers(model, plan.muon_rate, plan.adam_rate)
    first, seconds, stream = resume(path, model, optimisers, tokenizer)
    started, recent = time.monotonic() - seconds, []
    for step in range(first, plan.total):
        recent.append(train_step(model, optimisers, stream, plan, step))
        if (step + 1) % 50 == 0:
            mean = sum(recent[-50:]) / len(recent[-50:])
            print(f"{name} {step + 1}/{plan.total} loss {mean:.4f} {time.monotonic() - started:.0f} s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == plan.total:
            save(path, {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers],
                        "step": step + 1, "seconds": time.monotonic() - started,
                        "place": (stream.shard, stream.offset)})
    record = {"steps": plan.total, "tokens": plan.total * plan.tokens,
              "seconds": round(torch.load(path)["seconds"]),
              "loss": round(held_out_loss(model, tokenizer), 4), "parameters": model.parameters_count()}
    return model, record
