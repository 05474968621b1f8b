"""The engine's calibration cards, read: components of the experts, and shares of a prompt as
src/calibration/feature.ts and prior.ts make them."""

import base64
import json

import numpy as np

import rules as r
import settings as s

CARDS = {4: s.MODELS.parent / "fusion-configs/all.card.json", 8: s.MODELS / "several/all-bystanders.card.json"}
SUMS = 4  # that each logit is added to


def made():
    """When the cards were made: what is kept of their rules holds for them alone."""
    return " and ".join(json.loads(path.read_text())["date"][:16] for path in CARDS.values())


def numbers(text):
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


def projection(words, seed, dimension):
    """Signs of each token in the sums (tokens, dimension)."""
    hashed = (np.arange(1, words * SUMS + 1, dtype=np.uint32) * np.uint32(0x9E3779B1)) ^ np.uint32(seed)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashed = (hashed ^ (hashed >> np.uint32(shift))) * np.uint32(factor)
    hashed ^= hashed >> np.uint32(16)
    signs = np.zeros((words, dimension))
    np.add.at(signs, (np.repeat(np.arange(words), SUMS), hashed % dimension), np.where(hashed >> np.uint32(31), -1.0, 1.0))
    return signs


class Card:
    """The shipped card of the config with so many experts."""

    def __init__(self, count):
        self.card = json.loads(CARDS[count].read_text())
        self.prior, self.names = self.card["prior"], [expert["id"] for expert in self.card["experts"]]
        size, self.num_rows = (self.card["feature"][key] for key in ("dimension", "numRows"))
        self.whitening = np.zeros((size, size))
        self.whitening[np.tril_indices(size)] = numbers(self.prior["whitening"])
        self.means = {one["expert"]: numbers(one["mean"]) for one in self.prior["classes"]}

    def components(self):
        for expert in self.card["experts"]:
            kind, weight, plausibility = (expert["component"][key] for key in ("kind", "weight", "plausibility"))
            plausible = (plausibility["of"], plausibility["ratio"]) if plausibility else ("none", 0)
            yield r.Component(kind, *plausible, weight)

    def shares(self, rows):
        """(items, experts + 1), the base last, of the reference's mean centred logits at the prompt's end."""
        size, seed = (self.card["feature"][key] for key in ("dimension", "seed"))
        feature = rows / np.sqrt(rows.shape[1]) @ projection(rows.shape[1], seed, size) @ self.whitening.T
        far = np.stack([((feature - self.means[name]) ** 2).sum(axis=1) for name in self.names], axis=1)
        none, nearest = self.prior["none"], far.min(axis=1, keepdims=True)
        foreign = 1 / (1 + (none["distance"] / nearest) ** none["slope"])
        near = np.exp(-(far - nearest) / (2 * self.prior["temperature"]))
        near = np.hstack((near / near.sum(axis=1, keepdims=True), np.zeros_like(nearest)))
        strangers = np.array([none["shares"].get(name, 0) for name in (*self.names, "base")])
        shares = (1 - foreign) * near + foreign * strangers / strangers.sum()
        return (1 - self.prior["floor"]) * shares + self.prior["floor"] / shares.shape[1]
