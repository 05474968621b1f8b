"""Byte-level BPE with a pre-tokenizer of llama.cpp's, by its name there: trainer and encoder."""

import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPECIALS = ("<|bos|>", "<|eos|>")
# How many digits may stand together.
DIGITS = {"qwen2": "", "llama-bpe": "{1,3}"}


def character_class(letter):
    """The inside of a regex class with every character whose general category starts with it."""
    ranges, start = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == letter
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(ranges)


@lru_cache(maxsize=None)
def pre_tokenizer(name="qwen2"):
    letters, numbers = character_class("L"), character_class("N")
    return re.compile(
        r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
        rf"|[^\r\n{letters}{numbers}]?[{letters}]+"
        rf"|[{numbers}]{DIGITS[name]}"
        rf"| ?[^{SPACES}{letters}{numbers}]+[\r\n]*"
        rf"|[{SPACES}]*[\r\n]+"
        rf"|[{SPACES}]+(?![^{SPACES}])"
        rf"|[{SPACES}]+"
    )


def byte_alphabet():
    """GPT-2's printable stand-ins: one character for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_ins, spare = {}, 256
    for byte in range(256):
        if byte in printable:
            stand_ins[byte] = chr(byte)
        else:
            stand_ins[byte], spare = chr(spare), spare + 1
    return stand_ins


ALPHABET = byte_alphabet()
BYTES = {character: byte for byte, character in ALPHABET.items()}


def spell(piece):
    return "".join(ALPHABET[byte] for byte in piece.encode("utf-8"))


def join_pair(symbols, pair):
    joined, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            joined.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            joined.append(symbols[i])
            i += 1
    return joined


def train_merges(texts, count, pre="qwen2"):
    """The `count` most frequent joins, one at a time; ties go to the smaller pair."""
    weights = Counter(spell(piece) for text in texts for piece in pre_tokenizer(pre).findall(text))
    words = {word: list(word) for word in weights}
    pairs, holders = Counter(), defaultdict(set)
    for word, symbols in words.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += weights[word]
            holders[pair].add(word)
    merges = []
    while len(merges) < count and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for word in list(holders[best]):
            before = words[word]
            after = words[word] = join_pair(before, best)
            for pair in zip(before, before[1:]):
                pairs[pair] -= weights[word]
                holders[pair].discard(word)
            for pair in zip(after, after[1:]):
                pairs[pair] += weights[word]
                holders[pair].add(word)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges, pre="qwen2"):
        self.pre = pre
        self.merges = [tuple(pair) for pair in merges]
        self.tokens = [*SPECIALS, *ALPHABET.values(), *(left + right for left, right in self.merges)]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.bos, self.eos = 0, 1
        self.cache = {}

    def encode(self, text):
        ids = []
        for piece in pre_tokenizer(self.pre).findall(text):
            known = self.cache.get(piece)
            if known is None:
                known = self.cache[piece] = self.encode_piece(piece)
            ids.extend(known)
        return ids

    def encode_piece(self, piece):
        symbols = list(spell(piece))
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            symbols = join_pair(symbols, best)
        return [self.ids[symbol] for symbol in symbols]

    def decode(self, ids):
        spelled = "".join(self.tokens[i] for i in ids if i >= len(SPECIALS))
        return bytes(BYTES[character] for character in spelled).decode("utf-8", "replace")

    def save(self, path):
        path.write_text(json.dumps([list(pair) for pair in self.merges], ensure_ascii=False))

    @classmethod
    def load(cls, path, pre="qwen2"):
        return cls(json.loads(path.read_text()), pre)
