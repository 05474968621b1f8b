"""Text for healing and for perplexity: English documents out of Debian packages, cut into windows of tokens.

Packages are fetched by `apt-get download` and unpacked below `work/`; nothing is installed. A twentieth of the
windows, in runs of ten, is held out: nothing is healed on it.
"""

import gzip
import html
import pathlib
import random
import re
import subprocess

WORK = pathlib.Path(__file__).resolve().parent / "work"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"  # beside this script
PACKAGES = ["debian-handbook", "developers-reference", "python3.11-doc", "dict-gcide", "wordnet-base"]
SEED, RUN, HELD_OUT = 1, 10, 20


def unpacked():
    """The folder with the packages' files."""
    folder = WORK / "debian"
    if not folder.exists():
        archives = WORK / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=archives, check=True)
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    return folder / "usr/share"


def plain(page):
    """An HTML page's paragraphs and items, a line each."""
    parts = re.findall(r"<(p|li|h\d|div class=\"para\")[^>]*>(.*?)</(?:p|li|h\d|div)>", page, re.S)
    lines = (html.unescape(re.sub(r"<[^>]+>", "", text)) for _, text in parts)
    return "\n".join(line for line in (re.sub(r"\s+", " ", line).strip() for line in lines) if len(line) > 40)


def glosses(path):
    """WordNet's nouns, verbs and adjectives with what they mean, and its examples."""
    for line in path.read_text().splitlines():
        if line[0] != " ":
            before, gloss = line.split(" | ", 1)
            yield f"{before.split(' ')[4].replace('_', ' ')}: {gloss.strip()}"


def documents():
    """One text a source, each a list of lines or paragraphs; the order is always the same."""
    share = unpacked()
    chosen = random.Random(SEED)
    pages = sorted(share.glob("doc/debian-handbook/html/en-US/*.html")) + sorted(share.glob("developers-reference/*.html"))
    yield "\n".join(plain(page.read_text(errors="replace")) for page in pages)
    python = gzip.decompress((share / "info/python3.11.info.gz").read_bytes()).decode(errors="replace")
    yield re.sub(r"\n{3,}", "\n\n", python)[1_000_000:4_000_000]
    gcide = gzip.decompress((share / "dictd/gcide.dict.dz").read_bytes()).decode(errors="replace")
    yield re.sub(r"\s*\[[^\]]*(?:Webster|WordNet|PJC)[^\]]*\]", "", gcide)[2_000_000:5_000_000]
    entries = [entry for kind in ("noun", "verb", "adj") for entry in glosses(share / f"wordnet/data.{kind}")]
    yield "\n".join(chosen.sample(entries, 20_000))


def windows(tokenizer, length):
    """(for healing, held out): lists of windows of `length` ids, shuffled."""
    kept, held = [], []
    for document in documents():
        ids = tokenizer(document, add_special_tokens=False).input_ids
        cut = [ids[start : start + length] for start in range(0, len(ids) - length, length)]
        for number, window in enumerate(cut):
            (held if number // RUN % HELD_OUT == HELD_OUT - 1 else kept).append(window)
    random.Random(SEED).shuffle(kept)
    random.Random(SEED).shuffle(held)
    return kept, held
