"""What a person does with runs that lie about: find, name, tag, note, put aside; and the sentences for what goes."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord

LONGEST_NOTE = 20_000
MOST_TAGS, LONGEST_TAG = 20, 40
Order = Literal["newest", "oldest", "name", "loss", "time", "size"]
ORDERS: dict[str, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "name": "By name",
    "loss": "Lowest loss",
    "time": "Longest at work",
    "size": "Largest on disk",
}


def checked(name: str | None, note: str | None, tags: Sequence[str] | None) -> dict[str, Any]:
    """What a person says of a run, as it is kept; a refusal that names all that can't be."""
    changes: dict[str, Any] = {}
    problems = []
    if name is not None:
        changes["name"] = name.strip()
        if not 0 < len(changes["name"]) <= 120:
            problems.append(_bad("A name has 1 to 120 characters.", f"{len(changes['name']):,} characters", "name"))
    if note is not None:
        changes["note"] = note.strip()
        if len(changes["note"]) > LONGEST_NOTE:
            given = f"{len(changes['note']):,} characters"
            problems.append(_bad(f"A note has up to {LONGEST_NOTE:,} characters.", given, "note"))
    if tags is not None:
        changes["tags"] = plain_tags(tags)
        if len(changes["tags"]) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in changes["tags"]):
            what = f"A run has up to {MOST_TAGS} tags of up to {LONGEST_TAG} characters."
            problems.append(_bad(what, f"{len(changes['tags'])} tags", "tags"))
    if problems:
        raise problems[0] if len(problems) == 1 else StudioError(problems[0].code, problems[0].what, problems=problems)
    return changes


def plain_tags(tags: Iterable[str]) -> list[str]:
    """Tags without commas and blanks around them, each once."""
    parts = (part.strip() for tag in tags for part in tag.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def found(
    records: Iterable[RunRecord], text: str = "", tag: str = "", archived: bool = False, datasets: Any = None
) -> list[RunRecord]:
    """Runs in which every word of a text occurs, with a tag; those put aside only when asked for."""
    words = text.casefold().split()
    names = datasets or {}
    return [
        record
        for record in records
        if record.archived == archived
        and (not tag or tag in record.tags)
        and all(word in _said(record, names.get(record.dataset, "")) for word in words)
    ]


def in_order(records: Sequence[RunRecord], order: str, sizes: dict[str, int] | None = None) -> list[RunRecord]:
    """Runs, newest first, in another order."""
    if order not in ORDERS:
        raise StudioError("bad-setting", "Runs are not sorted by that.", given=order, valid=list(ORDERS), field="sort")
    match order:
        case "oldest":
            return list(reversed(records))
        case "name":
            return sorted(records, key=lambda record: record.name.casefold())
        case "loss":
            return sorted(records, key=lambda record: record.metrics.get("eval_loss", float("inf")))
        case "time":
            return sorted(records, key=lambda record: -(record.seconds or 0.0))
        case "size":
            return sorted(records, key=lambda record: -(sizes or {}).get(record.id, 0))
    return list(records)


def _said(record: RunRecord, dataset: str) -> str:
    parts = (record.id, record.name, record.note, record.model, record.method, record.task, record.status, dataset)
    return " ".join((*parts, *record.tags)).casefold()


def _bad(what: str, given: str, field: str) -> StudioError:
    return StudioError("bad-setting", what, given=given, field=field)
