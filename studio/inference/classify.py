"""Labels with probabilities: from the fine-tuned classifier, and from the nearest neighbors of a text.

A base model has no head for the run's labels, so it can't classify. What its embeddings are worth is shown by a
baseline under its own name: the labels of the training rows that are most similar to the text. The text itself, where
it is one of these rows, is left out.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import Progress, embeddings, no_progress, over_rows
from studio.inference.rows import read_rows, sample_of
from studio.inference.spans import answer_question
from studio.schema.errors import StudioError
from studio.schema.report import Answer, LabelScore
from studio.tasks.classification import label_role

SAMPLE = 500
"""Maximum number of training rows among which neighbors are searched."""
NUM_NEIGHBORS = 10
NEIGHBORS = "Similar rows · nearest neighbors"
"""Name of the baseline."""
NO_CLASSIFIER = "The base model can't classify."
NO_TRAINING_ROWS = "The training rows are no longer here, so there are no nearest neighbors to compare with."


def neighbor_means(vectors: Any, targets: Any) -> Any:
    """Return a fitted regressor: the targets of the most similar rows, weighted by their distance."""
    from sklearn.neighbors import KNeighborsRegressor

    count = min(NUM_NEIGHBORS, len(vectors))
    return KNeighborsRegressor(count, metric="cosine", weights="distance", algorithm="brute").fit(vectors, targets)


class NearestNeighbors:
    """Some training rows with their labels, and their embeddings by the base model."""

    def __init__(self, pair: ModelPair) -> None:
        rows, roles, encoding = training_rows(pair), pair.run.spec.data.roles, pair.encoding()
        rows = [rows[place] for place in sample_of(range(len(rows)), SAMPLE, pair.config.seed)]
        ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for row in rows]
        self.rows, self.num_neighbors = len(ids), min(NUM_NEIGHBORS, len(ids))
        self._ids = [tuple(each) for each in ids]
        self._vectors, self._targets = embeddings(pair, ids), targets_of(pair, rows, roles)
        self._means = neighbor_means(self._vectors, self._targets)

    @property
    def how(self) -> str:
        """A note on how the answer is made."""
        return (
            f"The labels of the {self.num_neighbors} most similar of {self.rows} training rows (nearest neighbors), by "
            "the embeddings of the base model, without this text itself. The base model itself can't classify."
        )

    @property
    def detail(self) -> str:
        """What the baseline is."""
        return (
            f"Copies the labels of the {self.num_neighbors} most similar of {self.rows} training rows, by the "
            "embeddings of the base model. A row is never its own neighbor."
        )

    def probabilities(self, pair: ModelPair, ids: Sequence[Sequence[int]], progress: Progress = no_progress) -> Any:
        """Return the share of each label among the neighbors of each row, or their mean score.

        Training rows with the same input as the row are left out.
        """
        vectors = embeddings(pair, ids, progress)
        means = self._means.predict(vectors)
        known = set(self._ids)
        for place, row in enumerate(map(tuple, ids)):
            if row in known:
                means[place] = self._without(row, vectors[place : place + 1])
        return means

    def _without(self, ids: tuple[int, ...], vector: Any) -> Any:
        others = [place for place, row in enumerate(self._ids) if row != ids]
        if not others:
            return self._targets.mean(0)
        return neighbor_means(self._vectors[others], self._targets[others]).predict(vector)[0]


def neighbors(pair: ModelPair) -> NearestNeighbors:
    """Return the nearest-neighbor classifier of a run, created once for a pair."""
    if pair.neighbors is None:
        pair.neighbors = NearestNeighbors(pair)
    classifier: NearestNeighbors = pair.neighbors
    return classifier


def classify(pair: ModelPair, text: str) -> tuple[Answer, Answer]:
    """Return the answers to a text, with the likeliest label (or answer span) first.

    The first answer is that of the nearest neighbors, or of a base model that extracts answers; the second that of the
    fine-tuned model.
    """
    if pair.head.name == "spans":
        return answer_question(pair, text)
    ids = [pair.task.prompt_ids(text, pair.encoding())]
    began = time.perf_counter()
    tuned = probabilities(pair, ids)[0]
    between = time.perf_counter()
    tuned_answer = _answer(pair, tuned, ids, between - began, pair.how)
    if pair.run.learned_from is None:
        return Answer(text=NO_CLASSIFIER, how=NO_TRAINING_ROWS, title="Base model"), tuned_answer
    nearest = neighbors(pair)
    output = nearest.probabilities(pair, ids)[0]
    answer = _answer(pair, output, ids, time.perf_counter() - between, nearest.how)
    return answer.model_copy(update={"title": NEIGHBORS}), tuned_answer


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


def training_rows(pair: ModelPair) -> list[Any]:
    """Return the usable training rows of a classifier. Raise `StudioError` if they are missing."""
    learned, roles = pair.run.learned_from, pair.run.spec.data.roles
    if learned is None:
        raise StudioError(
            "damaged-run",
            NO_TRAINING_ROWS,
            hint="Import the dataset again, or use the fine-tuned model alone.",
        )
    rows = [row for _, row in read_rows(learned)]
    return [row for row in rows if not pair.task.missing(row, roles) and has_known_labels(pair, row, roles)]


def _answer(pair: ModelPair, output: Any, ids: Sequence[Sequence[int]], seconds: float, how: str) -> Answer:
    ranked = sorted(zip(pair.labels, map(float, output), strict=True), key=lambda pair: -pair[1])
    labels = tuple(LabelScore(label=label, probability=round(share, 6)) for label, share in ranked)
    if pair.head.problem == "regression":
        labels = ()
    return Answer(
        text=predicted_label(pair, output), tokens=len(ids[0]), seconds=round(seconds, 3), labels=labels, how=how
    )
