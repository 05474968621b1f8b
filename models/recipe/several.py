"""Several experts attached at once, compared on the family: `several.py [ITEMS]` decodes the first
test items of every task by each rule and writes the scores to `work/several.json`."""

import json
import sys

import numpy as np
import torch

import rules as r
import settings as s
import solve
from bystanders import make_bystanders
from decode import MOST_TOKENS, Reader, cut, encode_prompts
from model import Llama
from score import mean_score
from tasks import make_tasks
from tune import collate, encode_pairs
from vocabulary import make_tokenizer

FEATURES = 128
TO_BASE = 0.1  # share of the base where a prompt fits no expert
LEAST = 1e-3  # of the expert's own law in a component's likelihood, so that no token is impossible
CALIBRATED = 64
HARD = f"{s.HARD_TASK}-hard"


def dwarf(name):
    return f"dwarf-{name}"


class Bench:
    """The family's models, tokenizer and task sets."""

    def __init__(self, names):
        self.tokenizer, self.models = make_tokenizer(), {}
        self.tasks = make_tasks() | make_bystanders()
        self.tasks[HARD] = self.tasks[s.HARD_TASK]
        for name in names:
            model = Llama(s.SHAPES[name.split("-")[0]], s.VOCABULARY)
            model.load_state_dict(torch.load(s.WORK / f"{name}.pt")["model"])
            self.models[name] = model.eval()

    def shown(self, name):
        return self.tasks[name]["calibration"][:CALIBRATED]

    def features(self, items):
        """Random projection of the reference's logits at the last token of the prompt but one."""
        prompts = [prompt[:-1] for prompt in encode_prompts(items, self.tokenizer)]
        reader = Reader(self.models["dwarf"], prompts)
        rows = reader.read(reader.first)
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
        rows = [logits.double().log_softmax(-1).numpy() for logits in trio]
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

    def score(self, items, models, rule):
        """Greedy answers by the rule over the rows of `models`, scored."""
        prompts, waiting = encode_prompts(items, self.tokenizer), np.arange(len(items))
        readers, answers = [Reader(self.models[name], prompts) for name in models], [[] for _ in items]
        ids = readers[0].first
        for _ in range(MOST_TOKENS):
            picked = rule(*(solve.log_softmax(reader.read(ids)).astype(np.float32) for reader in readers)).argmax(axis=-1)
            for i, token in zip(waiting, picked):
                answers[i].append(int(token))
            on = np.array([token != self.tokenizer.eos and "Ċ" not in self.tokenizer.tokens[token] for token in picked])
            if not on.any():
                break
            waiting, ids = waiting[on], torch.from_numpy(picked[on])[:, None]
            leave(readers, rule, on)
        return round(mean_score(items, [cut(self.tokenizer.decode(answer)) for answer in answers]), 4)


def leave(readers, rule, on):
    """Only the items of the mask `on` go on."""
    if isinstance(rule, r.Mixture):
        rule.log_shares = rule.log_shares[on]
    for reader in readers:
        reader.pads = reader.pads[on]
        for cache in reader.caches:
            cache.k, cache.v = cache.k[on], cache.v[on]


class Prompts:
    """What prompts say about who answers: shares (items, experts + 1), the base last."""

    def __init__(self, bench, names):
        self.bench, self.experts = bench, [dwarf(name) for name in names]
        shown = [bench.shown(name) for name in names]
        self.by_hidden = r.Router([bench.features(part) for part in shown])
        self.by_likelihood = r.Router([bench.ratios(part, self.experts) for part in shown])

    def shares(self, items):
        """Per prior the shares."""
        hidden, count = self.bench.features(items), len(self.experts)
        return {"hidden": self.by_hidden.shares(hidden, TO_BASE), "none to base": self.by_hidden.shares(hidden, 1.0),
                "likelihood": self.by_likelihood.shares(self.bench.ratios(items, self.experts), TO_BASE),
                "uniform": np.tile([1 / count] * count + [0.0], (len(items), 1)),
                "uniform with base": np.full((len(items), count + 1), 1 / (count + 1))}


def mixture(shares, components, **rest):
    """Component k for expert k, and the base; `components` one for all or one each."""
    count = shares.shape[1] - 1
    each = components if isinstance(components, list) else [components] * count
    return r.Mixture([*enumerate(each), (None, r.BASE)], shares, **rest)


def beside_alone(shares, component):
    """Each expert's share goes half to its fused component and half to the expert alone."""
    parts = [(k, part) for k in range(shares.shape[1] - 1) for part in (component, r.ALONE)]
    return r.Mixture([*parts, (None, r.BASE)], np.hstack((np.repeat(shares[:, :-1] / 2, 2, axis=1), shares[:, -1:])))


def simple_rules(count):
    """Rules without state, for `count` experts."""
    return {
        "paper's rule": r.paper,
        "uniform sum, weight 1": r.summed(1.0), "uniform sum, weight 1 / experts": r.summed(1 / count),
        "surest by dispersion, joint": r.surest(r.JOINT, r.dispersion),
        "surest by entropy, joint": r.surest(r.JOINT, r.sureness),
        "surest by dispersion, own set": r.surest(r.DEFAULT, r.dispersion),
        "Mowst over the base": r.mowst(r.BASE), "Mowst over joint": r.mowst(r.JOINT),
        "sign agreement": r.agreeing(), "moments": r.moments, "barycentre": r.barycentre,
    }


def mixtures(shares, cards):
    """Sequence mixtures by prior and components; each carries state and serves one batch."""
    table = {f"mixture, {prior}, {name}": mixture(shares[prior], components)
             for prior in ("uniform", "likelihood", "hidden")
             for name, components in (("joint", r.JOINT), ("gated", r.GATED), ("own set", r.DEFAULT), ("card", cards))}
    return table | {
        "mixture, uniform with base, joint": mixture(shares["uniform with base"], r.JOINT),
        "mixture, uniform, joint beside alone": beside_alone(shares["uniform"], r.JOINT),
        "mixture, hidden, own set beside alone": beside_alone(shares["hidden"], r.DEFAULT),
        "mixture, hidden, card, pinned": mixture(shares["hidden"], cards, pinned=True),
        "mixture, hidden, card, none to base": mixture(shares["none to base"], cards),
    }


def compare(bench, names, cards, count, wanted=""):
    """{rule: {task: score}} for the experts `names` on the first `count` test items."""
    table, models, prompts = {}, ["giant", "dwarf", *map(dwarf, names)], Prompts(bench, names)
    for task in (*s.SEEN, s.UNSEEN):
        items = bench.tasks[task]["test"][:count]
        rules = simple_rules(len(names)) | mixtures(prompts.shares(items), [cards[name] for name in names])
        for name, rule in rules.items():
            if wanted in name:
                table.setdefault(name, {})[task] = bench.score(items, models, rule)
                print(len(names), task, name, table[name][task], flush=True)
    return table


def right_expert(bench, cards, count):
    """The giant, the tuned giant, and the right expert alone and fused; for the unseen task `all`."""
    table = {}
    for task in (*s.SEEN, s.UNSEEN):
        items, right = bench.tasks[task]["test"][:count], "all" if task == s.UNSEEN else task
        trio = ["giant", "dwarf", dwarf(right)]
        kinds = {"joint": r.JOINT, "gated": r.GATED, "own set": r.DEFAULT, "card": cards[right]}
        kinds |= {f"solved, {kind}": r.Component(set=kind, ratio=0.1, weight="solved") for kind in ("joint", "expert")}
        scores = {"giant": bench.score(items, ["giant"], lambda row: row),
                  "tuned giant": bench.score(items, [f"giant-{right}"], lambda row: row),
                  "right expert": bench.score(items, [dwarf(right)], lambda row: row)}
        scores |= {f"right expert, {name}": bench.score(items, trio, part.law) for name, part in kinds.items()}
        for name, score in scores.items():
            table.setdefault(name, {})[task] = score
        print(task, scores, flush=True)
    return table


def main(count):
    torch.set_num_threads(1)
    every = (*s.SEEN, *s.BYSTANDERS)
    tuned = [f"giant-{name}" for name in (*s.SEEN, "all")]
    bench = Bench(["giant", "dwarf", *tuned, *map(dwarf, (*every, "all", HARD))])
    cards = {name: bench.best_component(name) for name in (*every, HARD)} | {"all": r.DEFAULT}
    print({name: str(card) for name, card in cards.items()})
    hard = [HARD if name == s.HARD_TASK else name for name in s.SEEN]
    tables = {"one": right_expert(bench, cards, count), "four": compare(bench, s.SEEN, cards, count),
              "eight": compare(bench, every, cards, count, "mixture, hidden"),
              "hard": compare(bench, hard, cards, count, "mixture, hidden")}
    rows = [{"experts": attached, "rule": rule, "scores": scores}
            for attached, table in tables.items() for rule, scores in table.items()]
    report = {"items": count, "cards": {name: str(card) for name, card in cards.items()}, "rows": rows}
    (s.WORK / "several.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
