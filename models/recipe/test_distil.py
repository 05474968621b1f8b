"""What the trainer of distilled labels is: its losses, exactly. Run: /usr/bin/python3 -m unittest discover -s models/recipe"""

import json
import math
import tempfile
import unittest
from pathlib import Path

import torch
from torch.nn import functional as F

import distil


class Characters:
    bos, eos = 0, 1

    def encode(self, text):
        return [ord(character) % 50 + 2 for character in text]


class SoftLoss(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.logits = torch.randn(5, 12)
        self.law = torch.randn(5, 12).softmax(-1)

    def test_all_tokens_named_is_the_divergence(self):
        targets = torch.cat((self.law, torch.zeros(5, 1)), 1)
        divergence = F.kl_div(self.logits.log_softmax(-1), self.law, reduction="none").sum(-1)
        entropy = -(self.law * self.law.log()).sum(-1)
        self.assertAlmostEqual(distil.soft_loss(self.logits, targets).item(), (divergence + entropy).mean().item(), 5)

    def test_the_tail_is_one_more_token(self):
        named = self.law.clone()
        cut = named < named.topk(3).values[:, -1:]
        tail = torch.where(cut, named, 0).sum(-1, keepdim=True)
        targets = torch.cat((named.masked_fill(cut, 0), tail), 1)
        q = self.logits.softmax(-1)
        rest = torch.where(cut, q, 0).sum(-1)
        exact = -(named * q.log()).masked_fill(cut, 0).sum(-1) - tail[:, 0] * rest.log()
        self.assertAlmostEqual(distil.soft_loss(self.logits, targets).item(), exact.mean().item(), 5)

    def test_it_has_a_gradient_where_nothing_is_left(self):
        logits = self.logits.clone().requires_grad_()
        certain = torch.zeros(5, 13)
        certain[:, 4] = 1
        distil.soft_loss(logits, certain).backward()
        self.assertTrue(torch.isfinite(logits.grad).all())
        wanted = torch.full((5,), 4)
        self.assertAlmostEqual(distil.soft_loss(logits, certain).item(), F.cross_entropy(logits, wanted).item(), 5)


class ConfidenceLoss(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(2)
        self.logits, self.wanted = 3 * torch.randn(6, 9), torch.randint(9, (6,))

    def test_no_share_is_the_labels(self):
        loss = distil.confidence_loss(self.logits, self.wanted, 0.0, 0.0)
        self.assertAlmostEqual(loss.item(), F.cross_entropy(self.logits, self.wanted).item(), 6)

    def test_all_of_it_without_a_threshold_is_the_models_own(self):
        loss = distil.confidence_loss(self.logits, self.wanted, 1.0, 0.0)
        self.assertAlmostEqual(loss.item(), F.cross_entropy(self.logits, self.logits.argmax(-1)).item(), 6)

    def test_where_it_is_not_sure_the_label_counts_whole(self):
        loss = distil.confidence_loss(self.logits, self.wanted, 0.5, 1.1)
        self.assertAlmostEqual(loss.item(), F.cross_entropy(self.logits, self.wanted).item(), 6)

    def test_its_share_grows_without_a_jump(self):
        shares = [distil.share_at(step, 100, 0.5) for step in range(100)]
        self.assertEqual(shares[0], 0)
        self.assertEqual(shares[-1], 0.5)
        self.assertLess(max(b - a for a, b in zip(shares, shares[1:])), 0.03)


class Labels(unittest.TestCase):
    def test_answers_are_the_files_own_tokens_with_an_end(self):
        token = {"id": 5, "top": [[5, math.log(0.6)], [6, math.log(0.3)]], "tail": math.log(0.1)}
        line = {"messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "x"}], "tokens": [token]}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "labels.jsonl"
            path.write_text(json.dumps(line) + "\n")
            examples = distil.read_labels(path, Characters())
        (ids, start, _), = examples
        self.assertEqual(ids[:start], [0, *Characters().encode("Question: ab\nAnswer:")])
        self.assertEqual(ids[start:], [5, 1])
        padded, rows, places, targets = distil.collate(examples, 60)
        self.assertEqual([padded[row, place + 1].item() for row, place in zip(rows, places)], [5, 1])
        self.assertTrue(torch.allclose(targets.sum(-1), torch.ones(2)))
        self.assertAlmostEqual(targets[0, -1].item(), 0.1, 6)
        self.assertEqual(targets[1, 1].item(), 1)


if __name__ == "__main__":
    unittest.main()
