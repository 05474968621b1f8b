"""The shipped family with its experts attached: what calibration prompts say about new ones, and about
the component that an expert is best used as. Reads models/family and models/tasks alone."""

import numpy as np
import torch

import rules as r
import settings as s
from card import Card
from decode import Reader, encode_prompts
from gguf import read_gguf
from tasks import read_items
from tune import collate, encode_pairs

FEATURES = 128
TO_BASE = 0.1  # share of the base where a prompt fits no expert
LEAST = 1e-3  # of the expert's own law in a component's likelihood, so that no token is impossible


def dwarf(name):
    return f"dwarf-{name}"


class Bench:
    """Models, tokenizer and calibration items."""

    def __init__(self, names):
        self.models = {}
        for name in names:
            self.models[name], self.tokenizer = read_gguf(s.FAMILY / f"{name}.gguf")

    def shown(self, name):
        return list(read_items(f"{name}-calibration"))

    def ends(self, items):
        """The reference's logits at the last token of the prompt but one."""
        prompts = [prompt[:-1] for prompt in encode_prompts(items, self.tokenizer)]
        reader = Reader(self.models["dwarf"], prompts)
        return reader.read(reader.first)

    @torch.no_grad()
    def tails(self, items, count):
        """The mean of the reference's centred logits over the last `count` tokens of the prompt but its last."""
        prompts = encode_prompts(items, self.tokenizer)
        ids, _ = collate([(prompt, len(prompt)) for prompt in prompts])
        ends = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None]
        at = torch.arange(ids.shape[1] - 1)
        told = ((at >= ends - count) & (at < ends)).float()
        rows = self.models["dwarf"](ids[:, :-1])
        rows = rows - rows.mean(dim=-1, keepdim=True)
        return ((rows * told[..., None]).sum(1) / told.sum(1, keepdim=True)).double().numpy()

    def features(self, items):
        """A random projection of the rows of `ends`."""
        rows = self.ends(items)
        signs = np.random.default_rng(s.SEED).choice([-1.0, 1.0], (rows.shape[1], FEATURES))
        return (rows - rows.mean(axis=1, keepdims=True)) @ signs / np.sqrt(rows.shape[1])

    @torch.no_grad()
    def ratios(self, items, experts):
        """Mean log-ratio expert / reference a prompt token, (items, experts)."""
        prompts = encode_prompts(items, self.tokenizer)
        ids, _ = collate([(prompt, len(prompt)) for prompt in prompts])
        real = torch.arange(1, ids.shape[1]) < torch.tensor([len(prompt) for prompt in prompts])[:, None]
        laws = (self.models[name](ids[:, :-1]).log_softmax(-1) for name in ("dwarf", *experts))
        told = [(law.gather(2, ids[:, 1:, None])[..., 0] * real).sum(1) / real.sum(1) for law in laws]
        return torch.stack([one - told[0] for one in told[1:]], dim=1).double().numpy()

    @torch.no_grad()
    def forced(self, items, expert):
        """Rows of base, reference and expert at the answers' tokens; these tokens; their items."""
        ids, answer = collate(encode_pairs(items, self.tokenizer))
        trio = (self.models[name](ids[:, :-1])[answer] for name in ("giant", "dwarf", expert))
        rows = [logits.log_softmax(-1).numpy() for logits in trio]
        return rows, ids[:, 1:][answer].numpy(), answer.nonzero()[:, 0].numpy()

    def criteria(self, items, expert, components=r.CHOICES):
        """Per component of the expert, all with the answer's own tokens before: which answers it gives
        greedily (items), the share of tokens that are its most probable, mean log-likelihood a token."""
        rows, wanted, item = self.forced(items, expert)
        table = {}
        for component in components:
            law = component.law(*rows)
            right = law.argmax(axis=-1) == wanted
            told = np.logaddexp(*(row[np.arange(len(wanted)), wanted] + np.log(share)
                                  for row, share in ((law, 1 - LEAST), (rows[2], LEAST))))
            table[component] = (~np.isin(np.arange(len(items)), item[~right]), right.mean(), told.mean())
        return table

    def best_component(self, name):
        """The default, unless another gives significantly more answers of the calibration examples
        (McNemar, two standard errors); among those most answers, then tokens, then likelihood."""
        table = self.criteria(self.shown(name), dwarf(name))
        usual = table[r.DEFAULT][0]

        def better(component):
            change = table[component][0].astype(int) - usual
            return change.sum() > 2 * np.sqrt(np.abs(change).sum())

        rank = lambda component: (table[component][0].sum(), *np.round(table[component][1:], 6))  # noqa: E731
        return max(filter(better, table), key=rank, default=r.DEFAULT)


class Prompts:
    """What prompts say about who answers: shares (items, experts + 1), the base last."""

    def __init__(self, bench, names):
        self.bench, self.experts, self.card = bench, [dwarf(name) for name in names], Card(len(names))
        if self.card.names != list(names):
            raise ValueError(f"The card has other experts: {self.card.names}")
        shown = [bench.shown(name) for name in names]
        self.by_hidden = r.Router([bench.features(part) for part in shown])
        self.by_likelihood = r.Router([bench.ratios(part, self.experts) for part in shown])

    def shares(self, items):
        """Per prior the shares."""
        likelihood, parts = self.bench.ratios(items, self.experts), len(self.experts) + 1
        return {"uniform": np.full((len(items), parts), 1 / parts),
                "likelihood": self.by_likelihood.shares(likelihood, TO_BASE),
                "hidden": self.by_hidden.shares(self.bench.features(items), TO_BASE),
                "card": self.card.shares(self.bench.tails(items, self.card.num_rows))}
