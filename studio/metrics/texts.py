"""Written texts against those of people: ROUGE by rouge-score, BLEU and chrF by sacreBLEU, a place a row.

BLEU and chrF are of all rows together: a row brings its counts, and the library makes the score of their sums.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

ROUGE = ("rouge1", "rouge2", "rougeL")


class Words:
    """The words of a text: as the ROUGE script takes English apart, and by letters of any script elsewhere."""

    def tokenize(self, text: str) -> list[str]:
        """Its words in lower case."""
        from rouge_score.tokenize import tokenize

        if text.isascii():
            found: list[str] = tokenize(text, None)
            return found
        return re.findall(r"\w+", text.lower())


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
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=False, tokenizer=Words())


@cache
def _corpus(name: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU() if name == "bleu" else CHRF()
