"""The family's vocabulary, trained once on the kinds of text that the models read."""

import settings as s
from bpe import SPECIALS, Tokenizer, train_merges
from corpus import documents
from tasks import sample_texts


def make_tokenizer():
    path = s.WORK / "merges.json"
    if not path.exists():
        texts = documents("vocabulary", 1500 if s.TINY else 12000) + sample_texts()
        s.WORK.mkdir(parents=True, exist_ok=True)
        merges = train_merges(texts, s.VOCABULARY - 256 - len(SPECIALS))
        if len(merges) != s.VOCABULARY - 256 - len(SPECIALS):
            raise SystemExit("The text is too short for the vocabulary: raise the number of documents.")
        Tokenizer(merges).save(path)
    return Tokenizer.load(path)
