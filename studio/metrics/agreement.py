"""How far two people agree beyond chance: Cohen's kappa, by scikit-learn, and in words."""

import importlib
import math
import sys
import threading
from collections.abc import Sequence

STEPS = ((0.81, "nearly always"), (0.61, "mostly"), (0.41, "in part"), (0.21, "little"), (-1.0, "hardly"))
"""From Landis and Koch (1977): kappa from there on, in a word."""
FEW = 20
"""Rows below which a kappa says little."""
_PREPARED: list[threading.Thread] = []


def prepare() -> None:
    """Import what `kappa` needs in the background: that takes a second, and somebody waits for the next row."""
    if "sklearn.metrics" not in sys.modules and not _PREPARED:
        _PREPARED.append(threading.Thread(target=importlib.import_module, args=("sklearn.metrics",), daemon=True))
        _PREPARED[0].start()


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of what two people gave the same rows; None where it is not defined (one label throughout)."""
    if not first or len({*first, *second}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    found = float(cohen_kappa_score(list(first), list(second)))
    return None if math.isnan(found) else found


def in_words(rows: int, same: int, found: float | None) -> str:
    """What two people's agreement means, in a sentence or two."""
    alike = f"{same:,} of {rows:,} {'row' if rows == 1 else 'rows'} alike"
    if found is None:
        return f"{alike}; chance can't be told apart while there is only one label."
    word = next(word for least, word in STEPS if found >= least)
    unclear = "Talk about what the labels mean before you go on: a model can't learn what two people see differently."
    advice = {
        "nearly always": "The labels mean the same to both.",
        "mostly": "Look at the rows on which you differ.",
    }.get(word, unclear)
    few = f" That is few: compare {FEW} rows or more." if rows < FEW else ""
    return f"{alike}; beyond chance they agree {word} (Cohen's kappa {found:.2f}). {advice}{few}"
