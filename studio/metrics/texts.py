"""Scores of generated texts against references: ROUGE by rouge-score, BLEU and chrF by sacreBLEU.

BLEU and chrF are corpus scores: each row has its counts, and the library computes the score from their sums.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeL")
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
"""Characters of scripts without spaces between words (Thai to Han). Each counts as a word."""


class WordTokenizer:
    """Splits a text into words: English as in the ROUGE script, other scripts by letters and their marks, and scripts
    without spaces by character."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words in lower case."""
        from rouge_score.tokenize import tokenize

        if text.isascii():
            tokens: list[str] = tokenize(text, None)
            return tokens
        return _words().findall(text.lower())


def observe(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Return the scores and counts of each row."""
    import numpy as np

    scorer = _rouge()
    scores = [
        scorer.score(reference, prediction) for prediction, reference in zip(predictions, references, strict=True)
    ]
    observed: dict[str, Any] = {name: np.array([score[name].fmeasure for score in scores]) for name in ROUGE}
    for name, prepared in (("bleu", _spaced), ("chrf", str)):
        ours, theirs = ([prepared(text) for text in texts] for texts in (predictions, references))
        counts = _corpus(name)._extract_corpus_statistics(ours, [theirs])
        observed[f"{name}_counts"] = np.array(counts)
    return observed


def _spaced(text: str) -> str:
    """Return a text with spaces around each character of scripts without spaces, which are words for BLEU then.

    sacreBLEU's usual tokenizer takes a sentence as one word. BLEU counts four words in a row, so it would be 0.
    """
    return _unspaced().sub(r" \g<0> ", text)


def mean_of(name: str) -> Any:
    """Return a function that computes the mean of a score over rows."""
    return lambda observed: float(observed[name].mean())


def corpus_score(name: str) -> Any:
    """Return a function that computes a score over all rows together."""

    def compute(observed: Mapping[str, Any]) -> float:
        sums = [each.item() for each in observed[f"{name}_counts"].sum(0)]
        return float(_corpus(name)._compute_score_from_stats(sums).score)

    return compute


@cache
def _marks() -> str:
    """Return vowel signs and accents, which belong to the character before them."""
    return "".join(chr(code) for code in range(0x300, 0xFE30) if unicodedata.category(chr(code)).startswith("M"))


@cache
def _unspaced() -> re.Pattern[str]:
    """Return a pattern for one unspaced character."""
    return re.compile(rf"[{UNSPACED}][{_marks()}]*")


@cache
def _words() -> re.Pattern[str]:
    r"""Return a pattern for one unspaced character, or a run of others, with their vowel signs and accents."""
    marks = _marks()
    return re.compile(rf"[{UNSPACED}][{marks}]*|[^\W{UNSPACED}](?:[^\W{UNSPACED}]|[{marks}])*")


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=False, tokenizer=WordTokenizer())


@cache
def _corpus(name: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    # Texts with fewer than four words have no four words in a row. `effective_order` changes nothing for others.
    return BLEU(effective_order=True) if name == "bleu" else CHRF()
