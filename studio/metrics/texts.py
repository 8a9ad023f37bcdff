"""Written texts against those of people: ROUGE by rouge-score, BLEU and chrF by sacreBLEU, a place a row.

BLEU and chrF are of all rows together: a row brings its counts, and the library makes the score of their sums.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeL")
ALONE = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
"""Letters of scripts that put no space between words (Thai to Han): each counts as a word."""


class Words:
    """The words of a text: as the ROUGE script takes English apart, by letters and the marks on them in any script
    elsewhere, and letter by letter where no space parts words."""

    def tokenize(self, text: str) -> list[str]:
        """Its words in lower case."""
        from rouge_score.tokenize import tokenize

        if text.isascii():
            found: list[str] = tokenize(text, None)
            return found
        return _words().findall(text.lower())


def observe(written: Sequence[str], expected: Sequence[str]) -> dict[str, Any]:
    """What each row brings to the scores."""
    import numpy as np

    scorer = _rouge()
    scores = [scorer.score(right, said) for said, right in zip(written, expected, strict=True)]
    observed: dict[str, Any] = {name: np.array([score[name].fmeasure for score in scores]) for name in ROUGE}
    for name in ("bleu", "chrf"):
        counts = _corpus(name)._extract_corpus_statistics(list(written), [list(expected)])
        observed[f"{name}_counts"] = np.array(counts)
    return observed


def mean_of(name: str) -> Any:
    """A score that is the mean over rows."""
    return lambda observed: float(observed[name].mean())


def of_all(name: str) -> Any:
    """A score of all rows together."""

    def compute(observed: Mapping[str, Any]) -> float:
        sums = [each.item() for each in observed[f"{name}_counts"].sum(0)]
        return float(_corpus(name)._compute_score_from_stats(sums).score)

    return compute


@cache
def _words() -> re.Pattern[str]:
    r"""A letter that stands alone, or a run of others; vowel signs and accents, which `\w` leaves out, belong to it."""
    marks = "".join(chr(code) for code in range(0x300, 0xFE30) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"[{ALONE}][{marks}]*|[^\W{ALONE}](?:[^\W{ALONE}]|[{marks}])*")


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=False, tokenizer=Words())


@cache
def _corpus(name: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU() if name == "bleu" else CHRF()
