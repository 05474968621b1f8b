"""Rules for one expert or several: how their rows become the next token's scores.

Rows are log-probabilities (items, vocabulary) in float64, always in the order base, reference,
experts; shifts are d_t = ln expert_t - ln reference. A rule turns them into one row of scores an item.
"""

import itertools
from dataclasses import dataclass

import numpy as np

import solve

SHRINK, SLACK, STEEPNESS = 0.1, 1.5, 8.0
GRID = np.linspace(0, 2, 21)  # the paper's weights
NOTHING = np.log(1e-12)  # a share that cannot change what is likely


def dispersion(rows):
    """Mowst's confidence (n * sum p^2 - 1) / (n - 1): 0 for an even row, 1 for a sure one."""
    n = rows.shape[-1]
    return (n * np.exp(2 * rows).sum(axis=-1) - 1) / (n - 1)


def sureness(rows):
    """Negative entropy."""
    return (np.exp(rows) * np.maximum(rows, -1e3)).sum(axis=-1)


def kept(base, experts, kind, ratio, theta=0.9):
    """Plausible tokens: `expert` of any expert, `joint` also of the base, `gate` the first where
    the expert's dispersion reaches `theta` and the second elsewhere, `none` all."""
    if kind == "none":
        return np.ones(base.shape, bool)
    own = np.logical_or.reduce([solve.plausible(expert, ratio) for expert in experts])
    if kind == "expert":
        return own
    joint = own | solve.plausible(base, ratio)
    return np.where(dispersion(experts[0])[:, None] >= theta, own, joint) if kind == "gate" else joint


def normal(rows, keep):
    return solve.log_softmax(np.where(keep, rows, -np.inf))


@dataclass(frozen=True)
class Component:
    """One complete model: the `base`, an expert `alone`, or base + weight * d over a plausible set."""

    kind: str = "fused"
    set: str = "expert"
    ratio: float = 0.02
    weight: float | str = 1.0
    theta: float = 0.9

    def law(self, base, reference, expert):
        if self.kind != "fused":
            return base if self.kind == "base" else expert
        keep = kept(base, [expert], self.set, self.ratio, self.theta)
        weight = self.weight
        if weight == "solved":
            weight = solve.solve(*(np.where(keep, row, -np.inf) for row in (base, reference, expert)))[0][:, None]
        return normal(base + weight * (expert - reference), keep)


DEFAULT, ALONE, BASE = Component(), Component("alone"), Component("base")
JOINT, GATED = Component(set="joint", ratio=0.1), Component(set="gate", ratio=0.1)
CHOICES = [ALONE, BASE, *(Component("fused", *one) for one in itertools.product(
    ("gate", "expert", "joint"), (0.02, 0.1, 0.2, 0.3), (0.5, 0.75, 1.0)))]


def moved(law, base):
    """(KL(law || base), KL(base || law))"""
    return solve.divergence(law, base), solve.divergence(base, law)


def paper(base, reference, *experts):
    """One expert a token, all other weights zero: the least J against the MEAN of all targets."""
    goals = np.mean([moved(expert, reference) for expert in experts], axis=0)
    laws, values = [], []
    for expert, weight in itertools.product(experts, GRID):
        laws.append(solve.log_softmax(base + weight * (expert - reference)))
        values.append(sum((at - goal) ** 2 for at, goal in zip(moved(laws[-1], base), goals)))
    return np.stack(laws)[np.argmin(values, axis=0), np.arange(len(base))]


def summed(weight):
    """base + weight * sum of all shifts, over the joint plausible set of all experts."""
    def rule(base, reference, *experts):
        shift = sum(expert - reference for expert in experts)
        return normal(base + weight * shift, kept(base, experts, "joint", 0.1))
    return rule


def surest(component, confidence):
    """At each token the component of the expert that is most certain of it."""
    def rule(base, reference, *experts):
        best = np.argmax([confidence(expert) for expert in experts], axis=0)
        return component.law(base, reference, np.stack(experts)[best, np.arange(len(base))])
    return rule


def mowst(component):
    """D * expert + (1 - D) * component, with the dispersion D of the surest expert's row."""
    def rule(base, reference, *experts):
        sure = np.array([dispersion(expert) for expert in experts])
        expert, share = np.stack(experts)[sure.argmax(0), np.arange(len(base))], sure.max(0)[:, None]
        return np.log(share * np.exp(expert) + (1 - share) * np.exp(component.law(base, reference, expert)) + 1e-30)
    return rule


def agreeing(loud=1.0):
    """Mean of the shifts beyond `loud` nats where they agree in sign or one alone speaks, else none."""
    def rule(base, reference, *experts):
        shifts = np.stack([expert - reference for expert in experts])
        shifts -= (shifts * np.exp(reference)).sum(axis=-1, keepdims=True)
        speaks = np.abs(shifts) > loud
        mean = np.where(speaks, shifts, 0).sum(0) / np.maximum(speaks.sum(0), 1)
        clash = (speaks & (shifts > 0)).any(0) & (speaks & (shifts < 0)).any(0)
        return normal(base + np.where(clash, 0, mean), kept(base, experts, "joint", 0.1))
    return rule


def moments(base, reference, *experts):
    """The expert and weight whose shift's mean and deviation move under the base as tuning moved
    them under the reference."""
    def under(law, shift):
        mean = (np.exp(law) * shift).sum(axis=-1)
        return mean, np.sqrt(np.maximum((np.exp(law) * shift**2).sum(axis=-1) - mean**2, 0))
    laws, values = [], []
    for expert in experts:
        keep = kept(base, [expert], "joint", 0.1)
        shift = np.where(keep, expert - reference, 0)
        starts = [under(normal(row, keep), shift) for row in (base, reference, expert)]
        for weight in GRID:
            laws.append(normal(base + weight * shift, keep))
            mean, deviation = under(laws[-1], shift)
            moves = mean - starts[0][0], starts[2][0] - starts[1][0]
            values.append((moves[0] - moves[1]) ** 2 + (deviation - starts[2][1]) ** 2)
    return np.stack(laws)[np.argmin(values, axis=0), np.arange(len(base))]


def barycentre(base, reference, *experts):
    """Geometric mean of the experts' own solutions, weighted by the inverse of their residuals."""
    keep, laws, trust = kept(base, experts, "joint", 0.1), [], []
    for expert in experts:
        goals = moved(normal(expert, keep), normal(reference, keep))
        tried = [normal(base + weight * (expert - reference), keep) for weight in GRID]
        values = [sum((at - goal) ** 2 for at, goal in zip(moved(law, normal(base, keep)), goals)) for law in tried]
        laws.append(np.stack(tried)[np.argmin(values, axis=0), np.arange(len(base))])
        trust.append(1 / (np.min(values, axis=0) + 1e-3))
    trust = np.array(trust) / np.sum(trust, axis=0)
    return normal((trust[..., None] * np.where(keep, np.stack(laws), 0)).sum(0), keep)


class Mixture:
    """M = sum of share * component; after token x a share is multiplied by component(x) / M(x).
    `parts` are (expert's index or None, component); `shares` (items, parts) come from the prompt."""

    def __init__(self, parts, shares, pinned=False):
        self.parts, self.pinned = parts, pinned
        self.log_shares = np.log(np.maximum(shares, 1e-30)).astype(np.float32)

    def __call__(self, base, reference, *experts):
        """A part whose share is nothing for every item is left out and its share stays."""
        live = np.flatnonzero((self.log_shares > NOTHING).any(axis=0))
        laws = np.stack([component.law(base, reference, base if which is None else experts[which])
                         for which, component in (self.parts[part] for part in live)], axis=1)
        mixed = np.logaddexp.reduce(laws + self.log_shares[:, live, None], axis=1)
        if not self.pinned:
            taken = np.take_along_axis(laws, mixed.argmax(-1)[:, None, None], 2)[..., 0]
            self.log_shares[:, live] += np.maximum(taken, -1e4)
            self.log_shares = solve.log_softmax(self.log_shares)
        return mixed


class Router:
    """Linear discriminant analysis of prompts: class means, pooled covariance shrunk to its
    diagonal; a prompt much farther from every class than its own examples are belongs to none."""

    def __init__(self, groups):
        label = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        self.means = np.stack([group.mean(axis=0) for group in groups])
        spread = np.concatenate(groups) - self.means[label]
        cov = spread.T @ spread / (len(spread) - len(groups))
        cov = (1 - SHRINK) * cov + SHRINK * np.diag(np.diag(cov))
        self.inverse = np.linalg.inv(cov + 1e-6 * np.trace(cov) / len(cov) * np.eye(len(cov)))
        own = [self.distances(group)[:, k].max() * (len(group) / (len(group) - 1)) ** 2 for k, group in enumerate(groups)]
        self.limits = SLACK * np.array(own)

    def distances(self, features):
        """Squared Mahalanobis distances (items, classes)."""
        gaps = features[:, None] - self.means
        return np.einsum("nkd,nkd->nk", gaps @ self.inverse, gaps)

    def shares(self, features, to_base):
        """(items, classes + 1): the posterior; of what fits none `to_base` goes to the base, the last."""
        far = self.distances(features)
        posterior = np.exp(solve.log_softmax(-far / 2))
        none = to_base / (1 + (far / self.limits).min(axis=1, keepdims=True) ** -STEEPNESS)
        return np.concatenate((posterior * (1 - none), none), axis=1)
