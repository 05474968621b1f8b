"""A vocabulary, trained once on the kinds of text that the models read: the family's, or a stranger's."""

import settings as s
from bpe import SPECIALS, Tokenizer, train_merges
from corpus import documents
from tasks import sample_texts


def make_tokenizer(sample="vocabulary", pre="qwen2"):
    """Kept in the work folder. `sample` names the text that it is trained on."""
    path = s.WORK / "merges.json"
    if not path.exists():
        texts = documents(sample, 1500 if s.TINY else 12000) + sample_texts()
        s.WORK.mkdir(parents=True, exist_ok=True)
        merges = train_merges(texts, s.VOCABULARY - 256 - len(SPECIALS), pre)
        if len(merges) != s.VOCABULARY - 256 - len(SPECIALS):
            raise SystemExit("The text is too short for the vocabulary: raise the number of documents.")
        Tokenizer(merges, pre).save(path)
    return Tokenizer.load(path, pre)
