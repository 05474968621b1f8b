"""Greedy decoding in batches, of one model or of a fusion of three: the training program's own."""

import numpy as np
import torch
from torch.nn import functional as F

import solve
from model import Cache
from rules import Laws, Mixture

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

    def read(self, ids):
        """ids (items, new tokens) -> float64 logits (items, vocabulary) after the last of them."""
        return self.logits(ids).numpy().astype(np.float64)

    @torch.no_grad()
    def logits(self, ids):
        new = torch.arange(self.seen, self.seen + ids.shape[1])
        self.seen += ids.shape[1]
        keys = torch.arange(self.seen)
        hidden = (keys[None, None] > new[None, :, None]) | (keys[None, None] < self.pads[:, None, None])
        mask = torch.where(hidden, NEVER, 0.0)[:, None]
        positions = (new[None] - self.pads[:, None]).clamp(min=0)
        x = self.model.hidden(ids, positions, mask, self.caches)[:, -1]
        return F.linear(x, self.model.token_embd.weight)

    def follow(self, parents):
        """The batch becomes the texts `parents`, each as often as it is named."""
        if len(parents) == len(self.pads) and bool((parents == torch.arange(len(parents))).all()):
            return
        self.pads = self.pads[parents]
        for cache in self.caches:
            cache.k, cache.v = cache.k[parents], cache.v[parents]


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


def ends(tokenizer):
    """By token, whether an answer ends with it."""
    return np.array([i == tokenizer.eos or "Ċ" in token for i, token in enumerate(tokenizer.tokens)])


def answer_together(models, items, tokenizer, rules):
    """{name: answers} of `rules` ({name: rule}) over log-probabilities of all models. They go on
    together: a text that several of them have begun with is read once."""
    prompts, last = encode_prompts(items, tokenizer), ends(tokenizer)
    readers = [Reader(model, prompts) for model in models]
    answers = {name: [[] for _ in items] for name in rules}
    waiting = {name: np.arange(len(items)) for name in rules}
    node, ids = dict(waiting), readers[0].first
    for _ in range(MOST_TOKENS):
        rows = [reader.logits(ids).log_softmax(-1).numpy() for reader in readers]
        laws, grown = Laws(*rows), {}
        for name, at in node.items():
            rule = rules[name]
            scores = rule.mix(laws, at) if isinstance(rule, Mixture) else rule(*(row[at] for row in rows))
            picked = scores.argmax(axis=-1)
            for i, token in zip(waiting[name], picked):
                answers[name][i].append(int(token))
            on = ~last[picked]
            waiting[name] = waiting[name][on]
            if isinstance(rule, Mixture):
                rule.leave(on)
            if on.any():
                grown[name] = at[on] * len(last) + picked[on]
        if not grown:
            break
        texts, place = np.unique(np.concatenate(list(grown.values())), return_inverse=True)
        node = dict(zip(grown, np.split(place, np.cumsum([len(one) for one in grown.values()])[:-1])))
        for reader in readers:
            reader.follow(torch.from_numpy(texts // len(last)))
        ids = torch.from_numpy(texts % len(last))[:, None]
    return {name: [cut(tokenizer.decode(answer)) for answer in told] for name, told in answers.items()}


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
