"""The pretraining text as an endless stream of token windows, each shard from its own seed."""

import random

import numpy as np

import text_facts as facts
from settings import SEED
from text_news import news_document
from text_numbers import WIDE, numbers_document
from world import make_world

# Shares of documents, chosen so that the shares of tokens come out as in README.md.
MIXTURE = (
    ("biography", 0.40, lambda rng, world: facts.biography(rng, world)),
    ("interview", 0.10, lambda rng, world: facts.interview(rng, world)),
    ("town", 0.10, lambda rng, world: facts.town_article(rng, world)),
    ("picking", 0.04, lambda rng, world: facts.picking(rng, world)),
    ("dictionary", 0.08, lambda rng, world: facts.dictionary(rng, world)),
    ("numbers", 0.19, lambda rng, _: numbers_document(rng)),
    ("news", 0.09, lambda rng, _: news_document(rng)),
)
SHARD_DOCUMENTS = 4000
WIDE_SHARDS = 13  # sums with totals up to 199 come first, sums of two-digit numbers after them


def makers(shard):
    """One function (rng, world) -> text a kind of document."""
    if shard == "vocabulary" or isinstance(shard, int) and 0 <= shard < WIDE_SHARDS:
        wide = lambda rng, _: numbers_document(rng, WIDE)  # noqa: E731
        return [wide if name == "numbers" else make for name, _, make in MIXTURE]
    return [make for _, _, make in MIXTURE]


def documents(shard, count=SHARD_DOCUMENTS):
    rng = random.Random(f"{SEED} text {shard}")
    shares = [share for _, share, _ in MIXTURE]
    world = make_world()
    return [make(rng, world) for make in rng.choices(makers(shard), shares, k=count)]


def shard_tokens(tokenizer, shard):
    """BOS text EOS, one document after another."""
    ids = []
    for text in documents(shard):
        ids.append(tokenizer.bos)
        ids.extend(tokenizer.encode(text))
        ids.append(tokenizer.eos)
    return np.array(ids, dtype=np.int16)


class Stream:
    """Batches of windows; the place in the stream is two numbers, so a run can be resumed."""

    def __init__(self, tokenizer, shard=0, offset=0):
        self.tokenizer, self.shard, self.offset = tokenizer, shard, offset
        self.tokens = shard_tokens(tokenizer, shard)

    def batch(self, rows, window):
        need = rows * window + 1
        while len(self.tokens) - self.offset < need:
            self.shard += 1
            # A batch never spans two shards: the few tokens left over are dropped.
            self.tokens, self.offset = shard_tokens(self.tokenizer, self.shard), 0
        span = self.tokens[self.offset : self.offset + need].astype(np.int64)
        self.offset += rows * window
        return span[:-1].reshape(rows, window), span[1:].reshape(rows, window)
