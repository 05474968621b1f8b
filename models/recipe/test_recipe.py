"""Checks that need no training: python3 -m unittest discover -s models/recipe."""

import json
import unittest

import numpy as np
import torch

import settings as s
import solve
from bpe import SPECIALS, Tokenizer, pre_tokenizer, train_merges
from corpus import documents
from decode import Reader
from gguf import quantise
from model import Llama
from score import exact, number, rouge2
from tasks import make_tasks
from world import make_world

VECTORS = s.MODELS.parent / "test" / "vectors" / "solver.json"


def row(values):
    return np.array([[-np.inf if value in (None, "-Infinity") else float(value) for value in values]])


def single_expert_cases():
    cases = json.loads(VECTORS.read_text())
    cases = cases["cases"] if isinstance(cases, dict) else cases
    return [case for case in cases if len(case["experts"]) == 1 and tuple(case["bounds"]) == solve.BOUNDS]


class SolvedWeight(unittest.TestCase):
    def test_objective_is_as_low_as_the_vectors(self):
        for case in single_expert_cases():
            rows = [row(values) for values in (case["base"], case["reference"], case["experts"][0])]
            common = min(values.shape[1] for values in rows)
            rows = [values[:, :common] for values in rows]
            keep = np.logical_and.reduce([np.isfinite(values) for values in rows])
            _, least = solve.solve(*(solve.restrict(values, keep) for values in rows))
            self.assertLessEqual(least[0], case["exact"]["objective"] * (1 + 1e-4) + 1e-7)


class Vocabulary(unittest.TestCase):
    def test_any_text_comes_back(self):
        tokenizer = Tokenizer(train_merges(documents(0, 100), 100))
        for text in ("héllo  \n\n x 12²３ don't 日本語 🎉", *documents(1, 20)):
            self.assertEqual(tokenizer.decode(tokenizer.encode(text)), text)

    def test_pieces_cover_the_text(self):
        text = " a  b\r\n\r\n c12 'S we'LL \u2003!?\n"
        self.assertEqual("".join(pre_tokenizer().findall(text)), text)

    def test_every_byte_is_a_token(self):
        self.assertEqual(len(set(Tokenizer([]).tokens)), 256 + len(SPECIALS))


class Tasks(unittest.TestCase):
    def test_tested_entities_are_in_no_question_of_the_text(self):
        world = make_world()
        tested = [entity.name for kind in (world.people, world.towns, world.words) for entity in kind["tested"]]
        questions = [line for text in documents(3) for line in text.split("\n") if "?" in line and "headline" not in line]
        questions = {line for line in questions if "happened" not in line and "How many" not in line}
        for name in tested:
            self.assertFalse([line for line in questions if f" {name}?" in line or f" {name} mean" in line], name)

    def test_no_test_question_is_in_a_training_set(self):
        for name, sets in make_tasks().items():
            known = {item.question for part in sets if part != "test" for item in sets[part]}
            self.assertEqual(len(sets["test"]), s.TEST_ITEMS, name)
            self.assertFalse(known & {item.question for item in sets["test"]}, name)


class Models(unittest.TestCase):
    def test_padded_and_cached_reading_gives_the_whole_window(self):
        torch.manual_seed(0)
        model = Llama(s.Shape(64, 2, 2, 96), 300).eval()
        prompts = [[0, 5, 7, 9, 11], [0, 8]]
        reader = Reader(model, prompts)
        first = reader.read(reader.first)
        second = reader.read(torch.tensor([[4], [6]]))
        for i, (prompt, token) in enumerate(zip(prompts, (4, 6))):
            whole = model(torch.tensor([[*prompt, token]]))[0].detach().numpy()
            np.testing.assert_allclose(first[i], whole[-2], atol=1e-4)
            np.testing.assert_allclose(second[i], whole[-1], atol=1e-4)

    def test_q8_0_blocks_give_the_values_back(self):
        values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
        blocks = np.frombuffer(quantise(values), dtype=[("scale", "<f2"), ("values", "i1", 32)])
        back = blocks["scale"].astype(np.float32)[:, None] * blocks["values"]
        np.testing.assert_allclose(back.reshape(4, 64), values, atol=0.02)


class Scores(unittest.TestCase):
    def test_scores(self):
        self.assertEqual(exact(" miner ", "miner"), 1.0)
        self.assertEqual(number("3+4=7. #### 7", "7"), 1.0)
        self.assertEqual(number("3+4=7, so 7 stamps", "7"), 0.0)
        self.assertAlmostEqual(rouge2("Flood in Bowick leaves 4", "Flood in Bowick breaks 4"), 0.5)


if __name__ == "__main__":
    unittest.main()
