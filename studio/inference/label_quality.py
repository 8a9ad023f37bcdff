"""Label quality by a small classifier on embeddings: likely label errors, and whether more rows would help.

The classifier is scikit-learn's logistic regression; cleanlab finds the label errors. Equal texts are never in both
training and test rows, because a copy would leak its label.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.inference.label_suggestions import INVERSE_REGULARIZATION, EmbeddingStore
from studio.schema.label_quality import CurvePoint, LearningCurve, Suspect

FOLDS = 5
MIN_OTHER_PROBABILITY = 0.5
"""Minimum probability of another label for a likely error."""
MAX_OWN_PROBABILITY = 0.2
REGULARIZED = 3.0
"""Inverse regularization strength of the label checker. It is low, to avoid overfitting wrong labels."""
TEST_FRACTION, MAX_TEST_TEXTS = 0.2, 1_000
"""Fraction of the texts on which the curve is measured, and its maximum number."""
REPEATS = 3
"""Number of random subsets of each size. Their spread shows the variance."""
SEED = 42
Progress = Callable[[int, int], None]


def label_errors(
    vectors: EmbeddingStore, texts: Mapping[int, str], labels: Mapping[int, str], progress: Progress
) -> tuple[dict[int, Suspect], float]:
    """Return row → likely label, for rows whose label is likely wrong, and the classifier's accuracy on all rows.

    Each row is judged by a classifier trained on other rows. Labels with fewer distinct texts than folds are skipped.
    The accuracy shows how reliable the result is.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues

    rows = [row for row in labels if row in texts]
    rows = _with_common_labels(rows, texts, labels)
    names = sorted({labels[row] for row in rows})
    if len(names) < 2:
        return {}, 0.0
    label_ids = np.array([names.index(labels[row]) for row in rows])
    embeddings, folds = vectors.of([texts[row] for row in rows]), np.array(_folds(rows, texts, labels))
    probabilities = np.zeros((len(rows), len(names)), dtype="float32")
    for fold in range(FOLDS):
        progress(fold, FOLDS)
        is_trained, is_tested = folds != fold, folds == fold
        classifier = _classifier(REGULARIZED).fit(embeddings[is_trained], label_ids[is_trained])
        probabilities[np.ix_(is_tested, classifier.classes_)] = classifier.predict_proba(embeddings[is_tested])
    progress(FOLDS, FOLDS)
    issues = find_label_issues(label_ids, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    suspects = {}
    for index in issues:
        other = int(probabilities[index].argmax())
        if (
            probabilities[index][other] >= MIN_OTHER_PROBABILITY
            and probabilities[index][label_ids[index]] <= MAX_OWN_PROBABILITY
        ):
            suspects[rows[index]] = Suspect(
                label=labels[rows[index]], likelier=names[other], chance=round(float(probabilities[index][other]), 3)
            )
    return suspects, float((probabilities.argmax(1) == label_ids).mean())


def learning_curve(
    vectors: EmbeddingStore, texts: Mapping[int, str], labels: Mapping[int, str], progress: Progress
) -> LearningCurve:
    """Return the accuracy of classifiers trained on growing numbers of rows, on held-out rows, with repeats."""
    import numpy as np

    rows = [row for row in labels if row in texts]
    names = sorted({labels[row] for row in rows})
    label_ids = {row: names.index(labels[row]) for row in rows}
    train_rows, test_rows = _split_rows(rows, texts, labels)
    test_vectors, expected = (
        vectors.of([texts[row] for row in test_rows]),
        np.array([label_ids[row] for row in test_rows]),
    )
    sizes = _sizes(len(train_rows), len(names))
    rounds, done, points = [1 if size == len(train_rows) else REPEATS for size in sizes], 0, []
    for size, repeats in zip(sizes, rounds, strict=True):
        scores = []
        for repeat in range(repeats):
            subset = _subset(train_rows, labels, size, repeat)
            classifier = _classifier().fit(
                vectors.of([texts[row] for row in subset]), [label_ids[row] for row in subset]
            )
            scores.append(float((classifier.predict(test_vectors) == expected).mean()))
            done += 1
            progress(done, sum(rounds))
        points.append(CurvePoint(rows=size, score=float(np.mean(scores)), low=min(scores), high=max(scores)))
    return LearningCurve(points=tuple(points), held=len(test_rows), labels=len(names))


def _classifier(strength: float = INVERSE_REGULARIZATION) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=100, tol=1e-3)


def _with_common_labels(rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]) -> list[int]:
    """Return the rows whose label has enough distinct texts for each fold."""
    distinct: dict[str, set[str]] = {}
    for row in rows:
        distinct.setdefault(labels[row], set()).add(texts[row])
    return [row for row in rows if len(distinct[labels[row]]) >= FOLDS]


def _folds(rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]) -> list[int]:
    """Return the fold of each row. Each label is spread evenly, and equal texts are in the same fold."""
    position: dict[str, int] = {}
    last_position: dict[str, int] = {}
    for row in random.Random(SEED).sample(list(rows), len(rows)):
        if texts[row] not in position:
            position[texts[row]] = last_position[labels[row]] = last_position.get(labels[row], -1) + 1
    return [position[texts[row]] % FOLDS for row in rows]


def _split_rows(
    rows: Sequence[int], texts: Mapping[int, str], labels: Mapping[int, str]
) -> tuple[list[int], list[int]]:
    """Split the rows into training and test rows, label by label. Equal texts are on the same side."""
    by_label: dict[str, dict[str, None]] = {}
    first: dict[str, str] = {}
    for row in rows:
        label = first.setdefault(texts[row], labels[row])
        by_label.setdefault(label, {})[texts[row]] = None
    rng, test_texts = random.Random(SEED), set()
    fraction = min(TEST_FRACTION, MAX_TEST_TEXTS / max(1, len(first)))
    for distinct in by_label.values():
        count = round(fraction * len(distinct) + rng.random() - 0.5)
        test_texts |= set(rng.sample(list(distinct), max(0, min(count, len(distinct) - 1))))
    return [row for row in rows if texts[row] not in test_texts], [row for row in rows if texts[row] in test_texts]


def _sizes(most: int, labels: int) -> list[int]:
    """Return the sizes to try: half as many each time, down to a few rows of each label."""
    sizes = [most]
    while len(sizes) < 7 and sizes[-1] // 2 >= max(16, 2 * labels):
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def _subset(rows: Sequence[int], labels: Mapping[int, str], size: int, repeat: int) -> list[int]:
    """Return a random subset of `size` rows, different for each repeat, with at least two labels."""
    shuffled = random.Random(f"{SEED} {repeat}").sample(list(rows), len(rows))
    subset = shuffled[:size]
    if len({labels[row] for row in subset}) < 2:
        subset[-1] = next(row for row in shuffled if labels[row] != labels[subset[0]])
    return subset
