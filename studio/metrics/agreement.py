"""Agreement of annotators on common rows, beyond chance: Cohen's kappa by scikit-learn, and a description."""

import importlib
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from itertools import combinations
from operator import itemgetter

from studio.schema.labeling import Agreement, Fact
from studio.schema.numbers import rows as rows_words

_UNCLEAR = (
    "Agree on what the labels mean before you continue. A model can't learn labels that two people use differently."
)
STEPS = (
    (
        0.81,
        "Agreement beyond chance is almost perfect (Cohen's kappa {kappa}).",
        "Both people use the labels in the same way.",
    ),
    (
        0.61,
        "Agreement beyond chance is substantial (Cohen's kappa {kappa}).",
        "Look at the rows with different labels.",
    ),
    (0.41, "Agreement beyond chance is moderate (Cohen's kappa {kappa}).", _UNCLEAR),
    (0.21, "Agreement beyond chance is fair (Cohen's kappa {kappa}).", _UNCLEAR),
    (0.0, "Agreement beyond chance is slight (Cohen's kappa {kappa}).", _UNCLEAR),
    (-1.0, "Agreement is not better than chance (Cohen's kappa {kappa}).", _UNCLEAR),
)
"""Lower bounds of kappa, their descriptions after Landis and Koch (1977), and what to do."""
FEW = 20
"""With fewer rows, kappa is unreliable."""
MAX_PEOPLE = 20
"""Of more people, those with the most rows are compared. Imported labels can have thousands of names."""
MAX_DIFFERENT = 100
"""Rows with different labels that are listed."""
_PREPARED: list[threading.Thread] = []


def agreements(given: Mapping[str, Mapping[int, Fact]]) -> tuple[Agreement, ...]:
    """Return the agreement of every two people with common rows, the pair with the most rows first. See `MAX_PEOPLE`.

    `given`: labeler → row → fact with the value that they gave it.
    """
    busiest = sorted(((name, facts) for name, facts in given.items() if facts), key=lambda each: -len(each[1]))
    people = sorted(busiest[:MAX_PEOPLE], key=itemgetter(0))
    if len(people) > 1:
        _prepare()
    pairs = [_agreement(*pair) for pair in combinations(people, 2) if pair[0][1].keys() & pair[1][1].keys()]
    return tuple(sorted(pairs, key=lambda pair: -pair.rows))


def _agreement(first: tuple[str, Mapping[int, Fact]], second: tuple[str, Mapping[int, Fact]]) -> Agreement:
    rows = sorted(first[1].keys() & second[1].keys())
    ours, theirs = ([facts[row].value or "" for row in rows] for _, facts in (first, second))
    differ = tuple(row for row, one, other in zip(rows, ours, theirs, strict=True) if one != other)
    same, score = len(rows) - len(differ), kappa(ours, theirs)
    return Agreement(
        first=first[0],
        second=second[0],
        rows=len(rows),
        same=same,
        kappa=score,
        sentence=in_words(len(rows), same, score),
        differ=differ[:MAX_DIFFERENT],
    )


def _prepare() -> None:
    """Import in the background what `kappa` needs. The import takes a second, and the user waits for the next row."""
    if "sklearn.metrics" not in sys.modules and not _PREPARED:
        _PREPARED.append(threading.Thread(target=importlib.import_module, args=("sklearn.metrics",), daemon=True))
        _PREPARED[0].start()


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return Cohen's kappa of two annotators' labels for the same rows. None if undefined (only one label)."""
    if not first or len({*first, *second}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    score = float(cohen_kappa_score(list(first), list(second)))
    return None if math.isnan(score) else score


def in_words(rows: int, same: int, score: float | None) -> str:
    """Return a description of the agreement in a few sentences. `same` is the number of equal labels."""
    counts = f"{same:,} of {rows_words(rows)} have the same label."
    if score is None:
        return counts + " With only one label, agreement beyond chance can't be measured."
    strength, advice = next((strength, advice) for least, strength, advice in STEPS if score >= least)
    sentences = [counts, strength.format(kappa=f"{score:.2f}"), advice]
    if rows < FEW:
        sentences.append(f"These are few rows. Compare {FEW} or more.")
    return " ".join(sentences)
