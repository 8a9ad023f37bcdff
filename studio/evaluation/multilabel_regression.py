"""Several labels a row, and scores: base and tuned on the same rows."""

from functools import partial
from typing import Any

from studio.evaluation.evaluators import Judged, Numbered, Progress, picks_of
from studio.evaluation.verdict import of_correlation, of_score
from studio.inference.base_and_tuned import Pair
from studio.inference.classify import chosen, neighbours, probabilities, wanted_of
from studio.metrics.scores import per_label
from studio.schema.report import JudgedRow

UNKNOWN = "The rows that the run learned from are not here, so the base could not guess."


def judge_several(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """Which labels each model gives; a label counts from a share of one half on."""
    wanted = wanted_of(pair, [row for _, row in rows], roles).astype(int)
    shares, note = _shares(pair, rows, roles, progress)
    observed: dict[str, dict[str, Any]] = {
        who: {"expected": wanted, "predicted": (each >= 0.5).astype(int)} for who, each in shares.items()
    }
    good = 1 - abs(wanted - shares["tuned"]).mean(1)
    details = _rows(pair, rows, roles, shares, good, abs(shares["tuned"] - shares.get("base", shares["tuned"])).max(1))
    details["per_label"] = per_label(wanted, observed["tuned"]["predicted"], pair.labels)
    in_words = partial(of_score, name="micro_f1", title="F1 over all labels", as_share=True)
    return Judged([number for number, _ in rows], observed.get("base"), observed["tuned"], in_words, note, details)


def judge_scores(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """Which score each model gives."""
    wanted = wanted_of(pair, [row for _, row in rows], roles)[:, 0]
    shares, note = _shares(pair, rows, roles, progress)
    observed: dict[str, dict[str, Any]] = {who: {"score": wanted, "guess": each[:, 0]} for who, each in shares.items()}
    away = abs(shares["tuned"][:, 0] - wanted)
    moved = abs(shares["tuned"] - shares.get("base", shares["tuned"]))[:, 0]
    details = _rows(pair, rows, roles, shares, -away, moved)
    numbers = [number for number, _ in rows]
    return Judged(numbers, observed.get("base"), observed["tuned"], of_correlation, note, details)


def _shares(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> tuple[dict[str, Any], str]:
    """What base and tuned say, rows × labels; without the rows that the run learned from the tuned one's alone."""
    encoding = pair.encoding(roles)
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for _, row in rows]
    total = 2 * len(ids)
    shares = {"tuned": probabilities(pair, ids, lambda done: progress(done, total, "Reading the rows"))}
    if pair.run.learned_from is None:
        return shares, UNKNOWN
    near = neighbours(pair)
    shares["base"] = near.probabilities(pair, ids, lambda done: progress(len(ids) + done, total, "Asking the base"))
    return shares, near.how


def _rows(
    pair: Pair, rows: Numbered, roles: dict[str, str], shares: dict[str, Any], good: Any, moved: Any
) -> dict[str, Any]:
    picks = picks_of(good, moved)

    def row(place: int) -> JudgedRow:
        number, values = rows[place]
        said = {who: chosen(pair, each[place]) for who, each in shares.items()}
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=said.get("base", ""),
            tuned=said["tuned"],
            score=round(float(good[place]), 4),
        )

    return {
        "best_rows": tuple(map(row, picks.best)),
        "worst_rows": tuple(map(row, picks.worst)),
        "changed_rows": tuple(map(row, picks.changed)),
    }
