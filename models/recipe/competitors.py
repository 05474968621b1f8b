"""Every rule for several experts that competes, with the settings that are tried on the validation sets."""

import itertools
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

import rules as r
from card import made

FUSED = {  # what an expert is used as
    "weight solved, no set": r.Component(set="none", weight="solved"),
    "joint set": r.Component(set="joint"),
    "gated set": r.Component(),
    "expert's set": r.Component(set="expert", ratio=0.02),
    "expert's set, weight 1/2": r.Component(set="expert", weight=0.5),
}
PRIORS = {
    "uniform": "equal shares at the start",
    "likelihood": "shares from how much better than the reference each expert predicts the prompt, against calibration prompts",
    "hidden": "shares from the reference's state at the prompt's end, against calibration prompts",
}
SETS = {"set": ["none", "joint", "expert"]}
PLAUSIBLE = {"none": ("none", 0), "joint": ("joint", 0.1), "gated": ("gated", 0.1), "expert": ("expert", 0.02)}


@dataclass
class Attached:
    """What a rule may know: how many experts there are, shares of the prompts by prior, and components
    by the calibration prompts: this program's choice and that of the engine's card."""

    count: int
    shares: dict
    own: list
    card: list


@dataclass(frozen=True)
class Competitor:
    says: str
    make: Callable
    grid: dict = field(default_factory=dict)

    def settings(self):
        """Every combination of the grid."""
        return [dict(zip(self.grid, values)) for values in itertools.product(*self.grid.values())]


def plausible(make):
    """A competitor's `make` of a rule that takes a set."""
    return lambda _, set: make(*PLAUSIBLE[set])


def uniform(at, weight, set):
    return r.summed({"1 / experts": 1 / at.count, "2 / experts": 2 / at.count, "1": 1.0}[weight], *PLAUSIBLE[set])


def laid_over(name):
    return r.BASE if name == "base" else FUSED[name]


def sequence(shares, fused, base, alone=False):
    """A mixture of one component an expert, or two with the expert alone, and of the base."""
    count = shares.shape[1] - 1
    each = fused if isinstance(fused, list) else [fused] * count
    parts = [*enumerate(each)] + [(k, r.ALONE) for k in range(count)] * alone
    held = np.tile(shares[:, :-1], 1 + alone) / (1 + alone)
    if base:
        parts, held = [*parts, (None, r.BASE)], np.hstack((held, shares[:, -1:]))
    return r.Mixture(parts, held / held.sum(axis=1, keepdims=True))


def mixed(prior, base, alone):
    return lambda at, fused: sequence(at.shares[prior], FUSED[fused], base, alone)


def mixtures(prior):
    """The mixtures with a prior: of which components, with and without the base and each expert alone."""
    begins, grid = PRIORS[prior], {"fused": list(FUSED)}
    table = {"fused": Competitor(f"a component an expert, {begins}", mixed(prior, False, False), grid)}
    for base, alone, name in ((True, False, "base"), (False, True, "alone"), (True, True, "alone, base")):
        beside = " and ".join(["each expert by itself"] * alone + ["the base by itself"] * base)
        table[f"fused, {name}"] = Competitor(f"the same, and {beside}", mixed(prior, base, alone), grid)
    alone = lambda at: sequence(at.shares[prior], r.ALONE, True)  # noqa: E731
    own = lambda at: sequence(at.shares[prior], at.own, True)  # noqa: E731
    table |= {"alone, base": Competitor("each expert by itself and the base by itself, nothing fused", alone),
              "chosen, base": Competitor("each expert as its calibration answers want it, and the base", own)}
    for kind in ("mowst", "moments"):
        def special(at, set, kind=kind):
            options = {"kind": "mowst"} if kind == "mowst" else {"weight": "moments"}
            return sequence(at.shares[prior], r.Component(set=PLAUSIBLE[set][0], ratio=PLAUSIBLE[set][1], **options), True)
        says = {"mowst": "the confidence gate inside: an expert by itself by its dispersion, else fused; and the base",
                "moments": "weights by moments of the shift instead of divergences; and the base"}[kind]
        table[f"{kind}, base"] = Competitor(says, special, {"set": ["joint", "gated", "expert"]})
    return {f"mixture, {prior}: {name}": one for name, one in table.items()}


CONFIDENT = {"measure": list(r.CONFIDENCE), "fused": list(FUSED)[1:4]}
COMPETITORS = {
    "paper's rule": Competitor("one expert a token, weight solved against the mean of all targets", lambda _: r.paper()),
    "paper's rule, set": Competitor("the same over a plausible set", plausible(r.paper), {"set": ["joint", "gated", "expert"]}),
    "uniform sum": Competitor("all shifts at one weight", uniform, {"weight": ["1 / experts", "2 / experts", "1"], **SETS}),
    "most certain": Competitor("at each token the surest expert alone counts, fused at weight 1",
                               lambda _, measure, fused: r.surest(FUSED[fused], r.CONFIDENCE[measure]), CONFIDENT),
    "Mowst": Competitor("the surest expert by itself with probability D, its dispersion, else what it is laid over",
                        lambda _, over, power: r.mowst(laid_over(over), power),
                        {"over": ["base", *list(FUSED)[1:4]], "power": [1, 2, 4]}),
    "sign agreement": Competitor("shifts beyond a threshold (nats) count where experts agree in sign or one alone speaks",
                                 lambda _, loud, set: r.agreeing(loud, *PLAUSIBLE[set]), {"loud": [0.5, 1, 2], **SETS}),
    "moments": Competitor("expert and weight whose shift's mean and deviation move under the base as under the reference",
                          plausible(r.moments), SETS),
    "barycentre": Competitor("geometric mean of the experts' own solutions by the inverse of their residuals",
                             lambda _, soft, set: r.barycentre(*PLAUSIBLE[set], soft), {"soft": [0.001, 0.1, 10], **SETS}),
    **{name: one for prior in PRIORS for name, one in mixtures(prior).items()},
    "mixture, hidden: card, base": Competitor("components of the engine's card, shares by this program's own fit",
                                              lambda at, cards: sequence(at.shares["hidden"], at.card, True), {"cards": [made()]}),
    "mixture, card": Competitor("the engine's default: components and shares by the shipped card, and the base",
                                lambda at, cards: sequence(at.shares["card"], at.card, True), {"cards": [made()]}),
}
