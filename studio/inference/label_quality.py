"""What a small classifier on embeddings tells of labels: which are likely wrong, and whether more rows would help.

The classifier is scikit-learn's logistic regression, the judgement of labels cleanlab's. Equal texts are never on both
sides: a copy would give its label away.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.inference.label_suggestions import STRENGTH, Vectors
from studio.schema.label_quality import CurvePoint, LearningCurve, Suspect

FOLDS = 5
SURE = 0.5
"""Probability of another label from which a row's own is called likely wrong; and, below, the most its own may have."""
OWN = 0.2
CAREFUL = 3.0
"""How freely the judge of labels may learn: less than the others, since it must not learn wrong labels by heart."""
HELD, MOST_HELD = 0.2, 1_000
"""Share of the texts that the curve is measured on, and the most of them."""
REPEATS = 3
"""Subsets of each size: their spread is the chance in it."""
SEED = 42
Progress = Callable[[int, int], None]


def label_errors(
    vectors: Vectors, texts: Mapping[int, str], labels: Mapping[int, str], progress: Progress
) -> tuple[dict[int, Suspect], float]:
    """Row → which label it likely should have, for rows whose own label is likely wrong; and the share of all rows that
    the classifier gives their own label, which says how far it can be trusted.

    Each row is judged by a classifier that learned from other rows; labels with fewer rows than folds are left alone.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues

    rows = [row for row in labels if row in texts]
    rows = _of_common_labels(rows, texts, labels)
    names = sorted({labels[row] for row in rows})
    if len(names) < 2:
        return {}, 0.0
    given = np.array([names.index(labels[row]) for row in rows])
    read, folds = vectors.of([texts[row] for row in rows]), np.array(_folds(rows, texts, labels))
    chances = np.zeros((len(rows), len(names)), dtype="float32")
    for fold in range(FOLDS):
        progress(fold, FOLDS)
        learned, asked = folds != fold, folds == fold
        classifier = _classifier(CAREFUL).fit(read[learned], given[learned])
        chances[np.ix_(asked, classifier.classes_)] = classifier.predict_proba(read[asked])
    progress(FOLDS, FOLDS)
    issues = find_label_issues(given, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = {}
    for at in issues:
        other = int(chances[at].argmax())
        if chances[at][other] >= SURE and chances[at][given[at]] <= OWN:
            found[rows[at]] = Suspect(
                label=labels[rows[at]], likelier=names[other], chance=round(float(chances[at][other]), 3)
            )
    return found, float((chances.argmax(1) == given).mean())


def learning_curve(
    vectors: Vectors, texts: Mapping[int, str], labels: Mapping[int, str], progress: Progress
) -> LearningCurve:
    """How well ever more of the rows do on rows kept apart: trained for real, each size several times."""
    import numpy as np

    rows = [row for row in labels if row in texts]
    names = sorted({labels[row] for row in rows})
    given = {row: names.index(labels[row]) for row in rows}
    learned, held = _apart(rows, texts, labels)
    asked, right = vectors.of([texts[row] for row in held]), np.array([given[row] for row in held])
    sizes = _sizes(len(learned), len(names))
    rounds, done, points = [1 if size == len(learned) else REPEATS for size in sizes], 0, []
    for size, repeats in zip(sizes, rounds, strict=True):
        scores = []
        for turn in range(repeats):
            some = _subset(learned, labels, size, turn)
            classifier = _classifier().fit(vectors.of([texts[row] for row in some]), [given[row] for row in some])
            scores.append(float((classifier.predict(asked) == right).mean()))
            done += 1
            progress(done, sum(rounds))
        points.append(CurvePoint(rows=size, score=float(np.mean(scores)), low=min(scores), high=max(scores)))
    return LearningCurve(points=tuple(points), held=len(held), labels=len(names))


def _classifier(strength: float = STRENGTH) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=100, tol=1e-3)


def _of_common_labels(rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]) -> list[int]:
    """Rows whose label has enough different texts for each fold to learn it."""
    different: dict[str, set[str]] = {}
    for row in rows:
        different.setdefault(labels[row], set()).add(texts[row])
    return [row for row in rows if len(different[labels[row]]) >= FOLDS]


def _folds(rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]) -> list[int]:
    """Each row's fold: the rows of a label spread evenly, equal texts together."""
    place: dict[str, int] = {}
    dealt: dict[str, int] = {}
    for row in random.Random(SEED).sample(list(rows), len(rows)):
        if texts[row] not in place:
            place[texts[row]] = dealt[labels[row]] = dealt.get(labels[row], -1) + 1
    return [place[texts[row]] % FOLDS for row in rows]


def _apart(rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]) -> tuple[list[int], list[int]]:
    """Rows to learn from and rows to be measured on, label by label, equal texts on one side."""
    by_label: dict[str, dict[str, None]] = {}
    first: dict[str, str] = {}
    for row in rows:
        label = first.setdefault(texts[row], labels[row])
        by_label.setdefault(label, {})[texts[row]] = None
    chance, held_texts = random.Random(SEED), set()
    share = min(HELD, MOST_HELD / max(1, len(first)))
    for different in by_label.values():
        count = round(share * len(different) + chance.random() - 0.5)
        held_texts |= set(chance.sample(list(different), max(0, min(count, len(different) - 1))))
    return [row for row in rows if texts[row] not in held_texts], [row for row in rows if texts[row] in held_texts]


def _sizes(most: int, labels: int) -> list[int]:
    """Sizes to try: half as many each time, down to a few of each label."""
    sizes = [most]
    while len(sizes) < 7 and sizes[-1] // 2 >= max(16, 2 * labels):
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def _subset(rows: Sequence[int], labels: Mapping[int, str], size: int, turn: int) -> list[int]:
    """So many of the rows, another choice each turn; two labels at least."""
    shuffled = random.Random(f"{SEED} {turn}").sample(list(rows), len(rows))
    some = shuffled[:size]
    if len({labels[row] for row in some}) < 2:
        some[-1] = next(row for row in shuffled if labels[row] != labels[some[0]])
    return some
