"""Labels with probabilities: from the tuned classifier, and for the base a guess by its nearest neighbours.

A base has no head for anybody's labels. What it knows shows in its embeddings: its guess is the label of those
training rows that it finds most alike. The guess says so.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from studio.inference.base_and_tuned import Pair
from studio.inference.batches import Progress, embeddings, over_rows, silent
from studio.inference.rows import read_rows, some_of
from studio.inference.spans import point
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef
from studio.schema.report import Answer, LabelScore
from studio.tasks.classification import label_role

SAMPLE = 500
"""Training rows among which the base looks."""
NEIGHBOURS = 10


class Neighbours:
    """Some training rows with their labels, by the base's embeddings."""

    def __init__(self, pair: Pair) -> None:
        from sklearn.neighbors import KNeighborsRegressor

        ids, wanted = _learned_rows(pair)
        self.rows, self.near = len(ids), min(NEIGHBOURS, len(ids))
        self._means = KNeighborsRegressor(self.near, metric="cosine", weights="distance", algorithm="brute")
        self._means.fit(embeddings(pair, ids), wanted)

    @property
    def how(self) -> str:
        """How the guess comes about."""
        return (
            f"The base has no labels of its own. This is a guess: those of the {self.near} rows most like it, "
            f"of {self.rows} training rows."
        )

    def probabilities(self, pair: Pair, ids: Sequence[Sequence[int]], progress: Progress = silent) -> Any:
        """Share of each label among the neighbours of each row, or their mean score."""
        return self._means.predict(embeddings(pair, ids, progress))


def neighbours(pair: Pair) -> Neighbours:
    """The base's neighbours, made once for a pair."""
    if pair.neighbours is None:
        pair.neighbours = Neighbours(pair)
    found: Neighbours = pair.neighbours
    return found


def classify(pair: Pair, text: str) -> tuple[Answer, Answer]:
    """What base and tuned say to a text, likeliest label (or words of a passage) first."""
    if pair.head.name == "spans":
        return point(pair, text)
    ids = [pair.task.prompt_ids(text, pair.encoding())]
    began = time.perf_counter()
    tuned = probabilities(pair, ids)[0]
    between = time.perf_counter()
    near = neighbours(pair)
    found = near.probabilities(pair, ids)[0]
    after = time.perf_counter()
    return _answer(pair, found, ids, after - between, near.how), _answer(pair, tuned, ids, between - began, pair.how)


def probabilities(pair: Pair, ids: Sequence[Sequence[int]], progress: Progress = silent) -> Any:
    """The tuned model's probability of each label for each row of tokens; rows × labels, as numpy."""

    def shares(model: Any, batch: dict[str, Any]) -> Any:
        return shares_of(model(**batch).logits.float(), pair.head.problem)

    with pair.speaking("tuned") as model:
        return over_rows(model, pair, ids, shares, progress)


def shares_of(logits: Any, problem: str) -> Any:
    """What logits say: a share for each label that add up to one, one for each by itself, or a score as it is."""
    if problem == "regression":
        return logits
    return logits.sigmoid() if problem else logits.softmax(-1)


def knows(pair: Pair, row: Any, roles: Mapping[str, str]) -> bool:
    """Whether a row's labels are all among those that the run learned."""
    found = pair.task.values(row, roles).get(label_role(roles))
    if pair.head.problem == "regression":
        return found is not None
    return set(found if isinstance(found, list) else [found]) <= set(pair.labels)


def wanted_of(pair: Pair, rows: Sequence[Any], roles: Mapping[str, str]) -> Any:
    """What is right of rows, as numpy: rows × labels with a 1 for those that fit, or rows × 1 with the score."""
    import numpy as np

    found = [pair.task.values(row, roles)[label_role(roles)] for row in rows]
    if pair.head.problem == "regression":
        return np.array(found, dtype=float)[:, None]
    names = [each if isinstance(each, list) else [each] for each in found]
    return np.array([[float(label in each) for label in pair.labels] for each in names])


def chosen(pair: Pair, shares: Any) -> str:
    """What shares say in a word: the likeliest label, all labels likelier than not, or the score."""
    if pair.head.problem == "regression":
        return in_digits(float(shares[0]))
    if pair.head.problem:
        return ", ".join(label for label, share in zip(pair.labels, shares, strict=True) if share >= 0.5)
    return pair.labels[int(shares.argmax())]


def in_digits(score: float) -> str:
    """A score with four digits behind the point, or four in all of a small one: 3.2518, 12345.6789, 0.0001234."""
    return f"{score:.4f}".rstrip("0").rstrip(".") if abs(score) >= 1 else f"{score:.4g}"


def _learned_rows(pair: Pair) -> tuple[list[list[int]], Any]:
    """Tokens, and what is right, of some of the rows that the run was trained on."""
    learned = pair.run.learned_from
    if learned is None:
        raise StudioError(
            "damaged-run",
            "The rows that this run was trained on are not here, so the base can't guess.",
            hint="Bring the dataset back, or look at the tuned model alone.",
        )
    if learned.numbers is not None:
        learned = RowsRef(path=learned.path, numbers=tuple(some_of(learned.numbers, SAMPLE, pair.config.seed)))
    encoding, roles = pair.encoding(), pair.run.spec.data.roles
    rows = [row for _, row in read_rows(learned) if not pair.task.missing(row, roles) and knows(pair, row, roles)]
    rows = [rows[place] for place in some_of(range(len(rows)), SAMPLE, pair.config.seed)]
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for row in rows]
    return ids, wanted_of(pair, rows, roles)


def _answer(pair: Pair, shares: Any, ids: Sequence[Sequence[int]], seconds: float, how: str) -> Answer:
    ranked = sorted(zip(pair.labels, map(float, shares), strict=True), key=lambda pair: -pair[1])
    labels = tuple(LabelScore(label=label, probability=round(share, 6)) for label, share in ranked)
    if pair.head.problem == "regression":
        labels = ()
    return Answer(text=chosen(pair, shares), tokens=len(ids[0]), seconds=round(seconds, 3), labels=labels, how=how)
