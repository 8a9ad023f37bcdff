"""Annotations of runs (name, note, tags), and filtering and sorting of runs."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from studio.schema.errors import StudioError, raise_all
from studio.schema.runs import RunRecord

LONGEST_NOTE = 20_000
MOST_TAGS, LONGEST_TAG = 20, 40
Order = Literal["newest", "oldest", "name", "loss", "time", "size"]
ORDERS: dict[str, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "name": "By name",
    "loss": "Lowest loss",
    "time": "Longest training time",
    "size": "Largest on disk",
}


def valid_annotations(name: str | None, note: str | None, tags: Sequence[str] | None) -> dict[str, Any]:
    """The annotations as they are saved.

    Raises:
        StudioError: with all problems of these.
    """
    changes: dict[str, Any] = {}
    problems = []
    if name is not None:
        changes["name"] = name.strip()
        if not 0 < len(changes["name"]) <= 120:
            length = len(changes["name"])
            problems.append(_invalid("The name must have 1 to 120 characters.", f"{length:,} characters", "name"))
    if note is not None:
        changes["note"] = note.strip()
        length = len(changes["note"])
        if length > LONGEST_NOTE:
            what = f"The note can have up to {LONGEST_NOTE:,} characters."
            problems.append(_invalid(what, f"{length:,} characters", "note"))
    if tags is not None:
        changes["tags"] = unique = plain_tags(tags)
        if len(unique) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in unique):
            what = f"A run can have up to {MOST_TAGS} tags of up to {LONGEST_TAG} characters."
            problems.append(_invalid(what, f"{len(unique)} tags", "tags"))
    raise_all(problems)
    return changes


def plain_tags(tags: Iterable[str]) -> list[str]:
    """Tags without commas and surrounding spaces, each once."""
    parts = (part.strip() for tag in tags for part in tag.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def filter_runs(
    records: Iterable[RunRecord], text: str = "", tag: str = "", archived: bool = False, datasets: Any = None
) -> list[RunRecord]:
    """Runs that contain every word of a text and have a tag. Archived runs only on request."""
    words = text.casefold().split()
    names = datasets or {}
    return [
        record
        for record in records
        if record.archived == archived
        and (not tag or tag in record.tags)
        and all(word in _searchable_text(record, names.get(record.dataset, "")) for word in words)
    ]


def in_order(records: Sequence[RunRecord], order: str, sizes: dict[str, int] | None = None) -> list[RunRecord]:
    """Runs, which come newest first, in another order."""
    if order not in ORDERS:
        raise StudioError("bad-setting", "Runs can't be sorted by this.", given=order, valid=list(ORDERS), field="sort")
    if order in ("newest", "oldest"):
        return list(records if order == "newest" else reversed(records))
    keys: dict[str, Callable[[RunRecord], Any]] = {
        "name": lambda record: record.name.casefold(),
        "loss": _loss,
        "time": lambda record: -(record.seconds or 0.0),
        "size": lambda record: -(sizes or {}).get(record.id, 0),
    }
    return sorted(records, key=keys[order])


def _loss(record: RunRecord) -> float:
    """The loss of a run, to sort by. Runs without one, or where it is no number, come last."""
    loss = record.metrics.get("eval_loss", math.inf)
    return math.inf if math.isnan(loss) else loss


def _searchable_text(record: RunRecord, dataset: str) -> str:
    parts = (record.id, record.name, record.note, record.model, record.method, record.task, record.status, dataset)
    return " ".join((*parts, *record.tags)).casefold()


def _invalid(what: str, given: str, field: str) -> StudioError:
    return StudioError("bad-setting", what, given=given, field=field)
