"""Tuning on a task's answers: a few gentle steps, an early stop, or hard as the bad case."""

import copy
import random
import time

import torch
from torch.nn import functional as F

import settings as s

CHECK_EVERY = 20


def encode_pairs(items, tokenizer):
    """(ids, start of the answer); the answer ends with EOS."""
    pairs = []
    for item in items:
        prompt = [tokenizer.bos, *tokenizer.encode(item.prompt)]
        pairs.append((prompt + tokenizer.encode(" " + item.answer) + [tokenizer.eos], len(prompt)))
    return pairs


def collate(pairs):
    """Padded ids and the mask of the positions whose next token belongs to the answer."""
    longest = max(len(ids) for ids, _ in pairs)
    ids = torch.ones(len(pairs), longest, dtype=torch.long)
    answer = torch.zeros(len(pairs), longest - 1, dtype=torch.bool)
    for row, (tokens, start) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        answer[row, start - 1 : len(tokens) - 1] = True
    return ids, answer


def answer_loss(model, pairs):
    ids, answer = collate(pairs)
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits[answer], ids[:, 1:][answer])


@torch.no_grad()
def divergence_from(reference, model, pairs):
    """Mean KL(model || reference) over the answer's positions, nats a token."""
    ids, answer = collate(pairs)
    log_p, log_q = (net(ids[:, :-1])[answer].double().log_softmax(-1) for net in (model, reference))
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean().item()


class Batches:
    """Every example once an epoch, shuffled by the seed."""

    def __init__(self, pairs, size, seed):
        self.pairs, self.size, self.rng, self.queue = pairs, size, random.Random(seed), []

    def next(self):
        while len(self.queue) < self.size:
            self.queue += self.rng.sample(self.pairs, len(self.pairs))
        batch, self.queue = self.queue[: self.size], self.queue[self.size :]
        return batch


def train(model, batches, plan, validation):
    """Steps until the plan ends or the validation loss stops falling; the best weights are kept."""
    optimiser = torch.optim.AdamW(model.parameters(), plan.rate, betas=(0.9, 0.99), weight_decay=0.0)
    best, kept, waited = float("inf"), None, 0
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * min(1.0, (step + 1) / 20)
        loss = answer_loss(model, batches.next())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == plan.steps:
            with torch.no_grad():
                checked = answer_loss(model, validation).item()
            better = checked < best - 0.002 or plan.patience > plan.steps
            best, waited = (checked, 0) if better else (best, waited + 1)
            if better:
                kept = step + 1, loss.item(), checked, copy.deepcopy(model.state_dict())
            if waited >= plan.patience:
                break
    model.load_state_dict(kept[3])
    return {"steps": kept[0], "loss": round(kept[1], 4), "validationLoss": round(kept[2], 4)}


def tune(name, start, sets, plan, tokenizer):
    """Tunes a copy of `start` on the `sets` of one or several tasks; returns model and record."""
    path = s.WORK / f"{name}.pt"
    model = copy.deepcopy(start)
    if path.exists():
        kept = torch.load(path)
        model.load_state_dict(kept["model"])
        return model, kept["record"]
    torch.manual_seed(s.SEED)
    pairs = encode_pairs([item for one in sets for item in one["train"]], tokenizer)
    validation = encode_pairs([item for one in sets for item in one["stop"]], tokenizer)
    began = time.monotonic()
    record = train(model, Batches(pairs, plan.batch, f"{s.SEED} {name}"), plan, validation)
    record |= {"examples": len(pairs), "batch": plan.batch, "rate": plan.rate,
               "seconds": round(time.monotonic() - began),
               "divergence": round(divergence_from(start, model, validation), 4)}
    torch.save({"model": model.state_dict(), "record": record}, path)
    print(name, record, flush=True)
    return model, record


def merge(reference, experts, strength):
    """Task arithmetic: reference + strength * sum of (expert - reference)."""
    merged = copy.deepcopy(reference)
    base = reference.state_dict()
    total = {key: sum(expert.state_dict()[key] - base[key] for expert in experts) for key in base}
    merged.load_state_dict({key: base[key] + strength * total[key] for key in base})
    return merged
