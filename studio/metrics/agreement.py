"""Agreement of two annotators beyond chance: Cohen's kappa by scikit-learn, and a description."""

import importlib
import math
import sys
import threading
from collections.abc import Sequence

STEPS = ((0.81, "almost perfect"), (0.61, "substantial"), (0.41, "moderate"), (0.21, "fair"), (-1.0, "slight"))
"""Lower bounds of kappa and their descriptions, after Landis and Koch (1977)."""
FEW = 20
"""With fewer rows, kappa is unreliable."""
_PREPARED: list[threading.Thread] = []


def prepare() -> None:
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
    """Return a description of the agreement in one or two sentences. `same` is the number of equal labels."""
    counts = f"{same:,} of {rows:,} {'row' if rows == 1 else 'rows'} have the same label"
    if score is None:
        return f"{counts}. With only one label, agreement beyond chance can't be measured."
    word = next(word for least, word in STEPS if score >= least)
    unclear = (
        "Agree on what the labels mean before you continue. A model can't learn labels that two people use differently."
    )
    advice = {
        "almost perfect": "Both people use the labels in the same way.",
        "substantial": "Look at the rows with different labels.",
    }.get(word, unclear)
    few = f" These are few rows. Compare {FEW} or more." if rows < FEW else ""
    return f"{counts}. Agreement beyond chance is {word} (Cohen's kappa {score:.2f}). {advice}{few}"
