"""Greedy decoding in batches, of one model or of a fusion of three: the training program's own."""

import numpy as np
import torch
from torch.nn import functional as F

import solve
from model import Cache

MOST_TOKENS = 64
RATIO = 0.1
NEVER = -1e9


class Reader:
    """One model over a batch of prompts, padded on the left; gives the next token's logits."""

    def __init__(self, model, prompts):
        self.model, longest = model.eval(), max(map(len, prompts))
        self.pads = torch.tensor([longest - len(prompt) for prompt in prompts])
        self.caches = [Cache() for _ in model.blk]
        self.seen = 0
        self.first = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])

    @torch.no_grad()
    def read(self, ids):
        """ids (items, new tokens) -> float64 logits (items, vocabulary) after the last of them."""
        new = torch.arange(self.seen, self.seen + ids.shape[1])
        self.seen += ids.shape[1]
        keys = torch.arange(self.seen)
        hidden = (keys[None, None] > new[None, :, None]) | (keys[None, None] < self.pads[:, None, None])
        mask = torch.where(hidden, NEVER, 0.0)[:, None]
        positions = (new[None] - self.pads[:, None]).clamp(min=0)
        x = self.model.hidden(ids, positions, mask, self.caches)[:, -1]
        return F.linear(x, self.model.token_embd.weight).numpy().astype(np.float64)


def fuse(method, rows):
    """Fused logits and weights; `method` is {weight: number or "solved", set: none|joint|expert}."""
    base, reference, expert = rows
    if method["set"] != "none":
        keep = solve.plausible(expert, RATIO)
        if method["set"] == "joint":
            keep |= solve.plausible(base, RATIO)
        base, reference, expert = (solve.restrict(row, keep) for row in rows)
    if method["weight"] == "solved":
        weights, _ = solve.solve(base, reference, expert)
    else:
        weights = np.full(len(base), float(method["weight"]))
    finite = np.isfinite(base)
    shift = np.where(finite, np.where(finite, expert, 0) - np.where(finite, reference, 0), 0)
    return solve.shifted(base, shift, weights), weights


def cut(text):
    """An answer ends at EOS or at a newline."""
    return text.split("\n")[0].strip()


def generate(readers, prompts, tokenizer, choose, most=MOST_TOKENS):
    """Answers of all prompts; `choose` turns the models' logits into one row of scores an item."""
    ids, answers = readers[0].first, [[] for _ in prompts]
    done = [False] * len(prompts)
    for _ in range(most):
        scores = choose([reader.read(ids) for reader in readers])
        picked = scores.argmax(axis=-1)
        for i, token in enumerate(picked):
            if not done[i]:
                done[i] = token == tokenizer.eos or "Ċ" in tokenizer.tokens[token]
                answers[i].append(int(token))
        if all(done):
            break
        ids = torch.from_numpy(picked)[:, None]
    return [cut(tokenizer.decode(answer)) for answer in answers]


def encode_prompts(items, tokenizer):
    return [[tokenizer.bos, *tokenizer.encode(item.prompt)] for item in items]


def answer_alone(model, items, tokenizer):
    prompts = encode_prompts(items, tokenizer)
    return generate([Reader(model, prompts)], prompts, tokenizer, lambda rows: rows[0])


def answer_fused(models, items, tokenizer, method):
    """`models` are base, reference, expert. Returns the answers and the mean weight."""
    prompts, weights = encode_prompts(items, tokenizer), []

    def choose(rows):
        fused, alphas = fuse(method, rows)
        weights.append(alphas.mean())
        return fused

    answers = generate([Reader(model, prompts) for model in models], prompts, tokenizer, choose)
    return answers, float(np.mean(weights))
