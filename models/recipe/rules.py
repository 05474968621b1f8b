"""Rules for one expert or several: how their rows become the next token's scores.

Rows are log-probabilities (items, vocabulary), always in the order base, reference, experts; shifts
are d_t = ln expert_t - ln reference. A rule turns them into one row of scores an item.
"""

import itertools
from dataclasses import dataclass

import numpy as np

import solve

SURE = 0.95  # probability of an expert's best token from which `gated` leaves the base's set out
GRID = np.linspace(0, 2, 21)  # the paper's weights
NOTHING = np.log(1e-6)  # a share that is as good as none: its component rests, as the engine's sleep
NEVER = -1e4  # nats of a token that a component leaves out, in the ledger of shares


def dispersion(rows):
    """Mowst's confidence (n * sum p^2 - 1) / (n - 1): 0 for an even row, 1 for a sure one."""
    n = rows.shape[-1]
    return (n * np.exp(2 * rows).sum(axis=-1) - 1) / (n - 1)


def sureness(rows):
    """Negative entropy."""
    return (np.exp(rows) * np.maximum(rows, NEVER)).sum(axis=-1)


CONFIDENCE = {"dispersion": dispersion, "entropy": sureness}


def kept(base, experts, kind, ratio):
    """Plausible tokens: `expert` of any expert, `joint` also of the base, `gated` the first where
    an expert is sure of its best token and the second elsewhere, `none` all."""
    if kind == "none":
        return np.ones(base.shape, bool)
    own = np.logical_or.reduce([solve.plausible(expert, ratio) for expert in experts])
    if kind == "expert":
        return own
    joint = own | solve.plausible(base, ratio)
    if kind == "joint":
        return joint
    sure = np.max([expert.max(axis=-1) for expert in experts], axis=0) >= np.log(SURE)
    return np.where(sure[:, None], own, joint)


def normal(rows, keep):
    return solve.log_softmax(np.where(keep, rows, -np.inf))


def moment_values(base, reference, expert, alphas):
    """How far the moves of the shift's mean and its deviation under the base at `alphas` are from
    those that tuning gave them under the reference: sum of both squares (items, points)."""
    within = np.isfinite(base)
    shift = np.where(within, expert, 0) - np.where(within, reference, 0)
    _, mean, variance = solve.curves(base, shift, alphas)
    zero, one = np.zeros((len(base), 1)), np.ones((len(base), 1))
    at_start, at_end = solve.curves(reference, shift, zero), solve.curves(reference, shift, one)
    goal = at_end[1] - at_start[1], np.sqrt(at_end[2])
    return (mean - goal[0]) ** 2 + (np.sqrt(variance) - goal[1]) ** 2


def along(rows):
    """The paper's weights for every item."""
    return np.tile(GRID, (len(rows), 1))


@dataclass(frozen=True)
class Component:
    """One complete model: the `base`, an expert `alone`, base + weight * d over a plausible set
    (`fused`), or `mowst`: the expert alone by its dispersion, else fused."""

    kind: str = "fused"
    set: str = "gated"
    ratio: float = 0.1
    weight: float | str = 1.0  # or solved, or moments

    def law(self, base, reference, expert):
        if self.kind in ("base", "alone"):
            return base if self.kind == "base" else expert
        keep = kept(base, [expert], self.set, self.ratio)
        fused = normal(base + self.weights(base, reference, expert, keep) * (expert - reference), keep)
        return fused if self.kind == "fused" else blend(dispersion(expert), expert, fused)

    def weights(self, base, reference, expert, keep):
        if isinstance(self.weight, (int, float)):
            return base.dtype.type(self.weight)
        trio = [np.where(keep, row, -np.inf) for row in (base, reference, expert)]
        if self.weight == "solved":
            found = solve.solve(*trio, zooms=2)[0]  # to 0.002
        else:
            found = GRID[moment_values(*map(solve.log_softmax, trio), along(base)).argmin(axis=1)]
        return found[:, None].astype(base.dtype)


ALONE, BASE = Component("alone"), Component("base")
DEFAULT, JOINT = Component(), Component(set="joint")
CHOICES = [DEFAULT, ALONE, BASE, *(Component("fused", kind, 0.1, weight) for kind, weight in itertools.product(
    ("gated", "expert", "joint", "none"), (1.0, 0.75, 0.5, "solved")))]


def blend(share, one, other):
    """ln (share * e^one + (1 - share) * e^other)"""
    share = np.clip(share, 1e-12, 1 - 1e-7)[:, None]
    return np.logaddexp(np.log(share) + one, np.log1p(-share) + other)


def best_of(laws, values):
    """Of laws (choices, items, vocabulary) that with the least value (choices, items) for each item."""
    return np.stack(laws)[np.argmin(values, axis=0), np.arange(len(laws[0]))]


def moved_targets(expert, reference):
    """(KL(expert || reference), KL(reference || expert))"""
    return solve.divergence(expert, reference), solve.divergence(reference, expert)


def one_at_a_time(base, reference, experts, keep, values_of):
    """Per expert, all other weights zero: its law of least value along the paper's weights, and that value."""
    base, reference, *experts = (normal(row, keep) for row in (base, reference, *experts))
    laws, values = [], []
    for expert in experts:
        shift = np.where(keep, np.where(keep, expert, 0) - np.where(keep, reference, 0), 0)
        at = values_of(base, reference, expert, shift)
        values.append(at.min(axis=1))
        laws.append(solve.log_softmax(base + GRID[at.argmin(axis=1)][:, None].astype(base.dtype) * shift))
    return laws, values


def paper(kind="none", ratio=0.1):
    """One expert a token, all other weights zero: the least J against the MEAN of all targets."""
    def rule(base, reference, *experts):
        keep = kept(base, experts, kind, ratio)
        goals = np.mean([moved_targets(normal(e, keep), normal(reference, keep)) for e in experts], axis=0)
        values = lambda p, q, e, shift: solve.objectives(p, shift, goals, along(p))  # noqa: E731
        return best_of(*one_at_a_time(base, reference, experts, keep, values))
    return rule


def moments(kind="joint", ratio=0.1):
    """The expert and weight whose shift's mean and deviation move under the base as tuning moved
    them under the reference."""
    def rule(base, reference, *experts):
        values = lambda p, q, e, shift: moment_values(p, q, e, along(p))  # noqa: E731
        return best_of(*one_at_a_time(base, reference, experts, kept(base, experts, kind, ratio), values))
    return rule


def barycentre(kind="joint", ratio=0.1, soft=1e-3):
    """Geometric mean of the experts' own solutions, weighted by the inverse of (residual + `soft`)."""
    def rule(base, reference, *experts):
        keep = kept(base, experts, kind, ratio)
        def values(p, q, e, shift):
            return solve.objectives(p, shift, moved_targets(e, q), along(p))
        laws, residuals = one_at_a_time(base, reference, experts, keep, values)
        trust = 1 / (np.array(residuals) + soft)
        trust /= trust.sum(axis=0)
        return normal((trust[..., None] * np.where(keep, np.stack(laws), 0)).sum(0), keep)
    return rule


def summed(weight, kind="joint", ratio=0.1):
    """base + weight * sum of all shifts."""
    def rule(base, reference, *experts):
        shift = sum(expert - reference for expert in experts)
        return normal(base + weight * shift, kept(base, experts, kind, ratio))
    return rule


def surest(component, confidence):
    """At each token the component of the expert that is most certain of it."""
    def rule(base, reference, *experts):
        best = np.argmax([confidence(expert) for expert in experts], axis=0)
        return component.law(base, reference, np.stack(experts)[best, np.arange(len(base))])
    return rule


def mowst(component, power=1.0):
    """D * expert + (1 - D) * component, D a power of the dispersion of the surest expert's row."""
    def rule(base, reference, *experts):
        sure = np.array([dispersion(expert) for expert in experts])
        expert = np.stack(experts)[sure.argmax(0), np.arange(len(base))]
        return blend(sure.max(0) ** power, expert, component.law(base, reference, expert))
    return rule


def agreeing(loud=1.0, kind="joint", ratio=0.1):
    """Mean of the shifts beyond `loud` nats where they agree in sign or one alone speaks, else none."""
    def rule(base, reference, *experts):
        shifts = np.stack([expert - reference for expert in experts])
        shifts -= (shifts * np.exp(reference)).sum(axis=-1, keepdims=True)
        speaks = np.abs(shifts) > loud
        mean = np.where(speaks, shifts, 0).sum(0) / np.maximum(speaks.sum(0), 1)
        clash = (speaks & (shifts > 0)).any(0) & (speaks & (shifts < 0)).any(0)
        return normal(base + np.where(clash, 0, mean), kept(base, experts, kind, ratio))
    return rule


class Laws:
    """Rows of some texts, and the components that mixtures have asked for there, each made once."""

    def __init__(self, *rows):
        self.rows, self.made = rows, {}

    def of(self, component, which, at):
        """The law of the component of expert `which` (None: of nobody) at the texts `at`."""
        base, reference, *experts = self.rows
        if component.kind in ("base", "alone"):
            return base[at] if component.kind == "base" else experts[which][at]
        if (component, which) not in self.made:
            self.made[component, which] = np.zeros(len(base), bool), np.empty_like(base)
        done, laws = self.made[component, which]
        new = np.unique(at[~done[at]])
        if len(new):
            laws[new], done[new] = component.law(base[new], reference[new], experts[which][new]), True
        return laws[at]


class Mixture:
    """M = sum of share * component; after token x a share is multiplied by component(x) / M(x).
    `parts` are (expert's index or None, component); `shares` (items, parts) come from the prompt."""

    def __init__(self, parts, shares):
        self.parts = parts
        self.log_shares = np.log(np.maximum(shares, 1e-30)).astype(np.float32)

    def __call__(self, base, reference, *experts):
        return self.mix(Laws(base, reference, *experts), np.arange(len(base)))

    def mix(self, laws, at):
        """The texts `at` of `laws`. A part whose share is nothing is left out where it is nothing, and
        keeps its share there."""
        live, mixed, parts = self.log_shares > NOTHING, np.zeros_like(laws.rows[0][at]), []
        for k, (which, component) in enumerate(self.parts):
            on = live[:, k]
            parts.append(laws.of(component, which, at[on]))
            mixed[on] += np.exp(parts[-1] + self.log_shares[on, k, None])
        picked = mixed.argmax(axis=-1)
        for k, law in enumerate(parts):
            on = live[:, k]
            self.log_shares[on, k] += np.maximum(law[np.arange(len(law)), picked[on]], NEVER)
        self.log_shares = solve.log_softmax(self.log_shares)
        with np.errstate(divide="ignore"):
            return np.log(mixed)

    def leave(self, on):
        """Only the items of the mask `on` go on."""
        self.log_shares = self.log_shares[on]


SHRINK, SLACK, STEEPNESS = 0.1, 1.5, 8.0


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
