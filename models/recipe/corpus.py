"""The pretraining text as an endless stream of token windows, each shard from its own seed."""

import random

import numpy as np

import text_facts as facts
from settings import SEED
from text_news import news_document
from text_numbers import numbers_document
from world import make_world

# Shares of documents, chosen so that the shares of tokens come out as in README.md.
MIXTURE = (
    ("biography", 0.295, lambda rng, world: facts.biography(rng, world)),
    ("interview", 0.10, lambda rng, world: facts.interview(rng, world)),
    ("town", 0.155, lambda rng, world: facts.town_article(rng, world)),
    ("picking", 0.066, lambda rng, world: facts.picking(rng, world)),
    ("dictionary", 0.085, lambda rng, world: facts.dictionary(rng, world)),
    ("numbers", 0.205, lambda rng, _: numbers_document(rng)),
    ("news", 0.094, lambda rng, _: news_document(rng)),
)
SHARD_DOCUMENTS = 4000


def documents(shard, count=SHARD_DOCUMENTS):
    rng = random.Random(f"{SEED} text {shard}")
    shares = [share for _, share, _ in MIXTURE]
    makers, world = [make for _, _, make in MIXTURE], make_world()
    return [make(rng, world) for make in rng.choices(makers, shares, k=count)]


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
