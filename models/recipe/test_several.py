"""Checks of the rules for several experts: python3 -m unittest discover -s models/recipe."""

import json
import unittest

import numpy as np
import torch

import competitors
import rules as r
import settings as s
import solve
from attached import Bench
from card import Card
from decode import answer_alone, answer_together
from gguf import read_gguf
from score import exact
from tasks import read_items

ITEMS, WORDS = 6, 24
SEVERAL = (r.JOINT, r.DEFAULT, r.ALONE)


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
        kinds = (r.Component(set=kind) for kind in ("gated", "joint", "expert"))
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


def divergences(law, base):
    """(KL(law || base), KL(base || law))"""
    return solve.divergence(law, base), solve.divergence(base, law)


def along(base, reference, expert):
    """The laws of one expert at the paper's weights."""
    return [solve.log_softmax(base + weight * (expert - reference)) for weight in r.GRID]


class OtherRules(unittest.TestCase):
    def test_the_papers_rule_goes_by_the_mean_target(self):
        base, reference, *experts = rows(4)
        goals = np.mean([divergences(expert, reference) for expert in experts], axis=0)
        objective = lambda law: sum((at - goal) ** 2 for at, goal in zip(divergences(law, base), goals))  # noqa: E731
        least = np.min([objective(law) for expert in experts for law in along(base, reference, expert)], axis=0)
        np.testing.assert_allclose(objective(r.paper()(base, reference, *experts)), least, rtol=1e-9)

    def test_moments_move_as_under_the_reference(self):
        base, reference, *experts = rows(4)

        def under(law, shift):
            mean = (np.exp(law) * shift).sum(axis=-1)
            return mean, np.sqrt((np.exp(law) * (shift - mean[:, None]) ** 2).sum(axis=-1))

        laws, values = [], []
        for expert in experts:
            shift = expert - reference
            (start, _), (end, deviation) = under(reference, shift), under(expert, shift)
            for law in along(base, reference, expert):
                mean, spread = under(law, shift)
                laws.append(law)
                values.append((mean - under(base, shift)[0] - (end - start)) ** 2 + (spread - deviation) ** 2)
        wanted = np.stack(laws)[np.argmin(values, axis=0), np.arange(ITEMS)]
        np.testing.assert_allclose(r.moments("none")(base, reference, *experts), wanted, atol=1e-9)

    def test_the_barycentre_leans_to_the_solution_that_fits(self):
        base, reference, *experts = rows(4)
        laws, residuals = [], []
        for expert in experts:
            tried, goals = along(base, reference, expert), divergences(expert, reference)
            values = [sum((at - goal) ** 2 for at, goal in zip(divergences(law, base), goals)) for law in tried]
            laws.append(np.stack(tried)[np.argmin(values, axis=0), np.arange(ITEMS)])
            residuals.append(np.min(values, axis=0))
        trust = 1 / (np.array(residuals) + 0.1)
        wanted = solve.log_softmax((trust[..., None] * laws).sum(0) / trust.sum(0)[:, None])
        np.testing.assert_allclose(r.barycentre("none", soft=0.1)(base, reference, *experts), wanted, atol=1e-6)

    def test_a_uniform_sum_of_one_is_proxy_tuning(self):
        base, reference, expert = rows(3)
        law = r.summed(1.0, "none")(base, reference, expert)
        np.testing.assert_allclose(law, solve.log_softmax(base + expert - reference), atol=1e-12)

    def test_the_most_certain_expert_alone_counts(self):
        base, reference, first, second = rows(4)
        second[0] = solve.log_softmax(np.where(np.arange(WORDS) == 3, 9.0, second[0]))
        for measure in r.CONFIDENCE.values():
            law = r.surest(r.JOINT, measure)(base, reference, first, second)
            np.testing.assert_array_equal(law[0], r.JOINT.law(base, reference, second)[0])

    def test_mowst_is_an_expert_by_its_dispersion(self):
        self.assertAlmostEqual(r.dispersion(np.log(np.full((1, WORDS), 1 / WORDS)))[0], 0)
        self.assertAlmostEqual(r.dispersion(np.where(np.arange(WORDS) == 0, 0.0, -1e3)[None])[0], 1)
        base, reference, expert = rows(3)
        share = r.dispersion(expert)[:, None]
        gated = r.mowst(r.BASE, 2)(base, reference, expert)
        np.testing.assert_allclose(np.exp(gated), share**2 * np.exp(expert) + (1 - share**2) * np.exp(base))
        inside = r.Component("mowst", "joint").law(base, reference, expert)
        wanted = share * np.exp(expert) + (1 - share) * np.exp(r.JOINT.law(base, reference, expert))
        np.testing.assert_allclose(np.exp(inside), wanted)

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


class Competitors(unittest.TestCase):
    def test_every_rule_answers_with_every_setting(self):
        base, reference, *experts = (row.astype(np.float32) for row in rows(6))
        shares = {prior: np.random.default_rng(1).dirichlet(np.ones(5), ITEMS) for prior in (*competitors.PRIORS, "card")}
        at = competitors.Attached(4, shares, [r.DEFAULT] * 4, list(Card(4).components()))
        for name, one in competitors.COMPETITORS.items():
            for setting in one.settings():
                with self.subTest(name, **setting):
                    law = one.make(at, **setting)(base, reference, *experts)
                    np.testing.assert_allclose(np.exp(law).sum(axis=-1), 1, atol=1e-4)

    def test_shares_are_kept_whatever_takes_part(self):
        shares = np.random.default_rng(1).dirichlet(np.ones(4), ITEMS)
        for base in (False, True):
            for alone in (False, True):
                mixture = competitors.sequence(shares, r.JOINT, base, alone)
                held = np.exp(mixture.log_shares)
                self.assertEqual(held.shape[1], 3 * (1 + alone) + base)
                wanted = shares if base else shares[:, :3] / shares[:, :3].sum(axis=1, keepdims=True)
                each = held[:, : 3 * (1 + alone)].reshape(ITEMS, -1, 3).sum(axis=1)
                np.testing.assert_allclose(each, wanted[:, :3], rtol=1e-5)


class Shipped(unittest.TestCase):
    """The files of models/family, read back."""

    def setUp(self):
        self.models = {}
        for name in ("giant", "dwarf", "dwarf-recall", "giant-recall"):
            self.models[name], self.tokenizer = read_gguf(s.FAMILY / f"{name}.gguf")
        self.items = list(read_items("recall"))[:30]
        self.expected = [json.loads(line)["answers"] for line in (s.EXPECTED / "recall.jsonl").read_text().splitlines()][:30]

    def test_files_answer_as_the_training_program_did(self):
        for name in ("giant", "dwarf-recall", "giant-recall"):
            answers = answer_alone(self.models[name], self.items, self.tokenizer)
            self.assertEqual(answers, [wanted[name] for wanted in self.expected])

    def test_the_card_knows_whose_a_prompt_is(self):
        bench = Bench(["dwarf"])
        for count in (4, 8):
            card = Card(count)
            for k, name in enumerate(card.names):
                shares = card.shares(bench.tails(bench.shown(name), card.num_rows))
                np.testing.assert_allclose(shares.sum(axis=1), 1)
                self.assertGreater((shares.argmax(axis=1) == k).mean(), 0.95, name)
            unseen = card.shares(bench.tails(bench.shown("unseen"), card.num_rows))
            self.assertGreater(unseen[:, card.names.index("choice")].mean(), 0.6)

    def test_rules_that_go_on_together_answer_as_one_by_one(self):
        trio = [self.models[name] for name in ("giant", "dwarf", "dwarf-recall")]
        rules = {"static-joint": r.JOINT.law, "solved-none": r.Component(set="none", weight="solved").law,
                 "giant": lambda base, *_: base, "dwarf-recall": lambda _, __, expert: expert}
        with torch.no_grad():
            told = answer_together(trio, self.items, self.tokenizer, rules)
        for name, answers in told.items():
            self.assertEqual(answers, [wanted[name] for wanted in self.expected])
        self.assertGreater(sum(exact(*pair) for pair in zip(told["solved-none"], (item.scored for item in self.items))), 20)


if __name__ == "__main__":
    unittest.main()
