"""Labels with probabilities: from the fine-tuned classifier, and a guess of the base by its nearest neighbors.

A base model has no head for the run's labels, but its embeddings carry information. Its guess is the label of the most
similar training rows. The answer says that it is a guess.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import Progress, embeddings, no_progress, over_rows
from studio.inference.rows import read_rows, sample_of
from studio.inference.spans import answer_question
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef
from studio.schema.report import Answer, LabelScore
from studio.tasks.classification import label_role

SAMPLE = 500
"""Maximum number of training rows for the base's guess."""
NUM_NEIGHBORS = 10


def neighbor_means(vectors: Any, targets: Any) -> Any:
    """Return a fitted regressor: the targets of the most similar rows, weighted by their distance."""
    from sklearn.neighbors import KNeighborsRegressor

    count = min(NUM_NEIGHBORS, len(vectors))
    return KNeighborsRegressor(count, metric="cosine", weights="distance", algorithm="brute").fit(vectors, targets)


class NearestNeighbors:
    """Some training rows with their labels, by the base's embeddings."""

    def __init__(self, pair: ModelPair) -> None:
        ids, targets = _learned_rows(pair)
        self.rows, self.num_neighbors = len(ids), min(NUM_NEIGHBORS, len(ids))
        self._means = neighbor_means(embeddings(pair, ids), targets)

    @property
    def how(self) -> str:
        """A note on how the guess is made."""
        return (
            f"The base model has no labels of its own. This is a guess from the {self.num_neighbors} most similar rows "
            f"among {self.rows} training rows."
        )

    def probabilities(self, pair: ModelPair, ids: Sequence[Sequence[int]], progress: Progress = no_progress) -> Any:
        """Return the share of each label among the neighbors of each row, or their mean score."""
        return self._means.predict(embeddings(pair, ids, progress))


def neighbors(pair: ModelPair) -> NearestNeighbors:
    """Return the base's nearest-neighbor classifier, created once for a pair."""
    if pair.neighbors is None:
        pair.neighbors = NearestNeighbors(pair)
    classifier: NearestNeighbors = pair.neighbors
    return classifier


def classify(pair: ModelPair, text: str) -> tuple[Answer, Answer]:
    """Return the answers of base and fine-tuned model to a text, with the likeliest label (or answer span) first."""
    if pair.head.name == "spans":
        return answer_question(pair, text)
    ids = [pair.task.prompt_ids(text, pair.encoding())]
    began = time.perf_counter()
    tuned = probabilities(pair, ids)[0]
    between = time.perf_counter()
    nearest = neighbors(pair)
    base_output = nearest.probabilities(pair, ids)[0]
    after = time.perf_counter()
    return _answer(pair, base_output, ids, after - between, nearest.how), _answer(
        pair, tuned, ids, between - began, pair.how
    )


def probabilities(pair: ModelPair, ids: Sequence[Sequence[int]], progress: Progress = no_progress) -> Any:
    """Return the fine-tuned model's label probabilities for token rows, as numpy array of rows × labels."""

    def probabilities_(model: Any, batch: dict[str, Any]) -> Any:
        return to_probabilities(model(**batch).logits.float(), pair.head.problem)

    return over_rows(pair.model_for("tuned"), pair, ids, probabilities_, progress)


def to_probabilities(logits: Any, problem: str) -> Any:
    """Convert logits: softmax over labels, sigmoid for several labels, or the score unchanged."""
    if problem == "regression":
        return logits
    return logits.sigmoid() if problem else logits.softmax(-1)


def has_known_labels(pair: ModelPair, row: Any, roles: Mapping[str, str]) -> bool:
    """Return whether the run learned all labels of a row."""
    value = pair.task.values(row, roles).get(label_role(roles))
    if pair.head.problem == "regression":
        return value is not None
    return set(value if isinstance(value, list) else [value]) <= set(pair.labels)


def targets_of(pair: ModelPair, rows: Sequence[Any], roles: Mapping[str, str]) -> Any:
    """Return the targets as numpy array: rows × labels with 0 and 1, or rows × 1 with the score."""
    import numpy as np

    values = [pair.task.values(row, roles)[label_role(roles)] for row in rows]
    if pair.head.problem == "regression":
        return np.array(values, dtype=float)[:, None]
    names = [each if isinstance(each, list) else [each] for each in values]
    return np.array([[float(label in each) for label in pair.labels] for each in names])


def predicted_label(pair: ModelPair, output: Any) -> str:
    """Return the prediction as text: the likeliest label, all labels with a probability from 0.5, or the score."""
    if pair.head.problem == "regression":
        return format_score(float(output[0]))
    if pair.head.problem:
        return ", ".join(label for label, share in zip(pair.labels, output, strict=True) if share >= 0.5)
    return pair.labels[int(output.argmax())]


def format_score(score: float) -> str:
    """Format a score with four decimals, or four significant digits below 1: 3.2518, 12345.6789, 0.0001234."""
    return f"{score:.4f}".rstrip("0").rstrip(".") if abs(score) >= 1 else f"{score:.4g}"


def _learned_rows(pair: ModelPair) -> tuple[list[list[int]], Any]:
    """Return token ids and targets of some training rows. Raise `StudioError` if the rows are missing."""
    learned = pair.run.learned_from
    if learned is None:
        raise StudioError(
            "damaged-run",
            "The training rows of this run are no longer here, so the base model can't guess.",
            hint="Import the dataset again, or use the fine-tuned model alone.",
        )
    if learned.numbers is not None:
        learned = RowsRef(path=learned.path, numbers=tuple(sample_of(learned.numbers, SAMPLE, pair.config.seed)))
    encoding, roles = pair.encoding(), pair.run.spec.data.roles
    rows = [
        row for _, row in read_rows(learned) if not pair.task.missing(row, roles) and has_known_labels(pair, row, roles)
    ]
    rows = [rows[place] for place in sample_of(range(len(rows)), SAMPLE, pair.config.seed)]
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for row in rows]
    return ids, targets_of(pair, rows, roles)


def _answer(pair: ModelPair, output: Any, ids: Sequence[Sequence[int]], seconds: float, how: str) -> Answer:
    ranked = sorted(zip(pair.labels, map(float, output), strict=True), key=lambda pair: -pair[1])
    labels = tuple(LabelScore(label=label, probability=round(share, 6)) for label, share in ranked)
    if pair.head.problem == "regression":
        labels = ()
    return Answer(
        text=predicted_label(pair, output), tokens=len(ids[0]), seconds=round(seconds, 3), labels=labels, how=how
    )
