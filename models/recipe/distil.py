"""Tunes one model on what `shoulders distill` has written, and writes it as GGUF.

    distil.py LABELS START.gguf OUT.gguf [--loss hard|soft|confidence] [--steps N] [--batch N] [--rate R]

hard: the answers' tokens. soft: their distributions, with the tails. confidence: the answers' tokens and, in a share
that grows over the first part of the steps, the model's own best tokens where it is sure of them.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import settings as s
from gguf import read_gguf, write_gguf
from tune import Batches

NONE = -9999.0  # as files write that something has no probability
RAMP = 0.2  # share of the steps over which the model's own say grows


def prompt_text(messages):
    """As the family's chat template writes a conversation before its answer."""
    head = "".join(f"{m['content']}\n" for m in messages if m["role"] == "system")
    turns = [f"Question: {m['content']}\nAnswer:" if m["role"] == "user" else f" {m['content']}\n"
             for m in messages if m["role"] != "system"]
    return head + "".join(turns)


def read_labels(path, tokenizer):
    """(ids, start of the answer, its tokens' records) of every line; the answer's ids are the file's own."""
    examples = []
    for line in Path(path).read_text().splitlines():
        label = json.loads(line)
        text = prompt_text(label["messages"][:-1]) if "messages" in label else label["prompt"]
        prompt = [tokenizer.bos, *tokenizer.encode(text)]
        answer = [token["id"] for token in label["tokens"]]
        if tokenizer.eos not in answer:
            answer.append(tokenizer.eos)
        examples.append((prompt + answer, len(prompt), label["tokens"]))
    return examples


def collate(examples, vocabulary):
    """Padded ids; for every answer token its place (row, position before it); (tokens, vocabulary + 1) targets,
    the tail last. A token without a record (an end that the file does not have) is certain."""
    longest = max(len(ids) for ids, _, _ in examples)
    ids = torch.ones(len(examples), longest, dtype=torch.long)
    rows, places, targets = [], [], []
    for row, (tokens, start, records) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        for index in range(len(tokens) - start):
            target = torch.zeros(vocabulary + 1)
            record = records[index] if index < len(records) else {"top": [[tokens[start + index], 0.0]], "tail": NONE}
            for token, logprob in record["top"]:
                target[token] = math.exp(logprob)
            target[-1] = math.exp(record["tail"]) if record["tail"] > NONE else 0.0
            rows.append(row)
            places.append(start + index - 1)
            targets.append(target / target.sum())
    return ids, torch.tensor(rows), torch.tensor(places), torch.stack(targets)


def soft_loss(logits, targets):
    """Mean cross-entropy with distributions of which the last entry is all that is not named: the model's share of that
    is what it leaves to the tokens that have no target of their own."""
    log_q = logits.log_softmax(-1)
    named = targets[:, :-1]
    rest = torch.where(named > 0, -math.inf, log_q).logsumexp(-1)
    has_tail = targets[:, -1] > 0
    tail = torch.where(has_tail, -targets[:, -1] * torch.where(has_tail, rest, torch.zeros_like(rest)), torch.zeros_like(rest))
    return (-(named * log_q).sum(-1) + tail).mean()


def share_at(step, steps, alpha):
    """The model's own say: from 0 to `alpha` in a straight line, and then constant. (A share that is nothing up to some
    step and all at once alpha, as published code has it, is a jump in the loss.)"""
    return alpha * min(1.0, step / max(1.0, RAMP * steps))


def confidence_loss(logits, wanted, share, threshold):
    """(1 - share) CE(labels) + share CE(the model's own best), the latter where it gives that at least `threshold`;
    elsewhere the label counts whole (arXiv 2312.09390, appendix A.4, over tokens)."""
    hard = F.cross_entropy(logits, wanted, reduction="none")
    with torch.no_grad():
        sure, own = logits.softmax(-1).max(-1)
    weight = share * (sure >= threshold)
    return ((1 - weight) * hard + weight * F.cross_entropy(logits, own, reduction="none")).mean()


def loss_of(model, examples, kind, share, threshold):
    ids, rows, places, targets = collate(examples, model.vocabulary)
    logits = model(ids[:, :-1])[rows, places]
    if kind == "soft":
        return soft_loss(logits, targets)
    wanted = ids[rows, places + 1]
    return confidence_loss(logits, wanted, share if kind == "confidence" else 0.0, threshold)


def train(model, examples, plan):
    optimiser = torch.optim.AdamW(model.parameters(), plan.rate, betas=(0.9, 0.99), weight_decay=0.0)
    batches = Batches(examples, min(plan.batch, len(examples)), f"{s.SEED} distil")
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * min(1.0, (step + 1) / 20)
        loss = loss_of(model, batches.next(), plan.loss, share_at(step, plan.steps, plan.alpha), plan.threshold)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels")
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loss", choices=("hard", "soft", "confidence"), default="soft")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--threshold", type=float, default=0.5)
    plan = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(s.SEED)
    random.seed(s.SEED)
    model, tokenizer = read_gguf(plan.start)
    examples = read_labels(plan.labels, tokenizer)
    began = time.monotonic()
    loss = train(model.train(), examples, plan)
    written = write_gguf(plan.out, plan.out.stem, model.eval(), tokenizer, "f16")
    told = {"labels": len(examples), "loss": plan.loss, "last": round(loss, 4), "steps": plan.steps,
            "batch": plan.batch, "rate": plan.rate, "seconds": round(time.monotonic() - began), **written}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
