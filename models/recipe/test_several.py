"""Checks of the rules for several experts: python3 -m unittest discover -s models/recipe."""

import unittest

import numpy as np

import rules as r
import solve

ITEMS, WORDS = 6, 24
SEVERAL = (r.JOINT, r.GATED, r.ALONE)


def rows(count, seed=0):
    drawn = np.random.default_rng(seed).normal(scale=2, size=(count, ITEMS, WORDS))
    return [solve.log_softmax(row) for row in drawn]


def even(parts):
    return np.full((ITEMS, parts), 1 / parts)


class Components(unittest.TestCase):
    def test_an_expert_like_the_reference_moves_nothing(self):
        base, reference = rows(2)
        for weight in (1.0, "solved"):
            law = r.Component(set="none", weight=weight).law(base, reference, reference)
            np.testing.assert_allclose(law, base, atol=1e-9)

    def test_a_gate_takes_the_experts_set_only_where_it_is_sure(self):
        base, reference, expert = rows(3)
        expert[0] = solve.log_softmax(np.where(np.arange(WORDS) == 3, 9.0, expert[0]))
        kinds = (r.Component(set=kind, theta=0.95) for kind in ("gate", "joint", "expert"))
        gated, joint, own = (component.law(base, reference, expert) for component in kinds)
        np.testing.assert_array_equal(gated[0], own[0])
        np.testing.assert_array_equal(gated[1:], joint[1:])
        self.assertFalse(np.array_equal(own, joint))


class Mixtures(unittest.TestCase):
    def test_one_component_is_the_single_expert_rule(self):
        models = rows(3)
        for component in SEVERAL:
            mixed = r.Mixture([(0, component)], even(1))(*models)
            np.testing.assert_allclose(mixed, component.law(*models), rtol=1e-5)

    def test_the_order_of_experts_does_not_matter(self):
        base, reference, *experts = rows(5)
        parts, shares = list(enumerate(SEVERAL)), np.random.default_rng(1).dirichlet(np.ones(3), ITEMS)
        there, back = r.Mixture(parts, shares), r.Mixture([(2 - k, part) for k, part in parts[::-1]], shares[:, ::-1])
        for _ in range(3):
            np.testing.assert_allclose(np.exp(there(base, reference, *experts)),
                                       np.exp(back(base, reference, *experts[::-1])), atol=1e-6)

    def test_no_text_is_less_likely_than_by_a_component_and_its_share(self):
        mixture = r.Mixture([*enumerate(SEVERAL), (None, r.BASE)], even(4))
        told, alone = np.zeros(ITEMS), np.zeros((4, ITEMS))
        for step in range(12):
            base, reference, *experts = rows(5, step)
            mixed = mixture(base, reference, *experts)
            taken = mixed.argmax(axis=-1)[:, None]
            told += np.take_along_axis(mixed, taken, 1)[:, 0]
            laws = [part.law(base, reference, expert) for part, expert in zip(SEVERAL, experts)] + [base]
            alone += [np.take_along_axis(law, taken, 1)[:, 0] for law in laws]
        self.assertTrue((-told <= -alone + np.log(4) + 1e-3).all())
        self.assertTrue((-told > -alone.max(axis=0) - 1e-3).all())


class OtherRules(unittest.TestCase):
    def test_the_papers_rule_goes_by_the_mean_target(self):
        base, reference, *experts = rows(4)
        goals = np.mean([r.moved(expert, reference) for expert in experts], axis=0)
        objective = lambda law: sum((at - goal) ** 2 for at, goal in zip(r.moved(law, base), goals))  # noqa: E731
        laws = [solve.log_softmax(base + weight * (expert - reference)) for expert in experts for weight in r.GRID]
        chosen = r.paper(base, reference, *experts)
        np.testing.assert_allclose(objective(chosen), np.min([objective(law) for law in laws], axis=0))

    def test_shifts_that_clash_count_nothing(self):
        base, reference = rows(2)
        up = np.where(np.arange(WORDS) == 0, 5.0, 0.0)
        law = r.agreeing()(base, reference, reference + up, reference - up)
        keep = r.kept(base, [reference + up, reference - up], "joint", 0.1)
        np.testing.assert_allclose(np.exp(law), np.exp(r.normal(base, keep)), atol=1e-9)

    def test_a_router_knows_its_classes_and_what_is_far_from_all(self):
        rng = np.random.default_rng(0)
        groups = [rng.normal(size=(32, 8)) + centre for centre in (0, 6, -6)]
        shares = r.Router(groups).shares(np.array([[0.0] * 8, [6.0] * 8, [-6.0] * 8, [90.0] * 8]), 0.25)
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        self.assertTrue((shares[[0, 1, 2], [0, 1, 2]] > 0.95).all())
        self.assertAlmostEqual(shares[3, 3], 0.25, places=3)


if __name__ == "__main__":
    unittest.main()
