"""Moments as people write them in a column: told by the way that fits all of its values. Knows no split."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import Any

from studio.data.values import is_blank
from studio.schema.errors import StudioError

Clock = Callable[[str], float]
"""A text → seconds, or any number that grows with time; ValueError when it is no moment of that kind."""
LOOKED_AT = 2_000
"""Values from which the way of writing is told."""
_DAYS = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%b %d %Y",
)
_HOURS = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p")


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(text: str) -> float:
    return _seconds(datetime.fromisoformat(text))


def _mail(text: str) -> float:
    return _seconds(parsedate_to_datetime(text))


def _written(form: str, text: str) -> float:
    return _seconds(datetime.strptime(text, form))


def _clocks() -> Iterable[tuple[str, Clock]]:
    yield "a number", float
    yield "2024-01-31", _iso
    for day in _DAYS:
        for hour in _HOURS:
            yield day, partial(_written, day + hour)
    yield "Wed, 31 Jan 2024 09:00:00 +0000", _mail


def moments_of(values: Mapping[int, Any], column: str) -> dict[int, float]:
    """Row number → a number that grows with time, for the rows of a column that hold something."""
    texts = {number: str(value).strip() for number, value in values.items() if not is_blank(value)}
    clock = _clock_for(list(islice(dict.fromkeys(texts.values()), LOOKED_AT)), column)
    known: dict[str, float] = {}
    moments, wrong = {}, []
    for number, text in texts.items():
        try:
            if text not in known:
                known[text] = clock(text)
            moments[number] = known[text]
        except (ValueError, OverflowError):
            wrong.append(number)
    if wrong:
        first = wrong[0]
        raise StudioError(
            "bad-setting",
            f"The column {column} can't be the time: row {first} holds something else.",
            given=texts[first],
            valid="a moment in each cell, all written alike, or nothing",
            rows=wrong[:100],
            field="time_column",
        )
    return moments


def _clock_for(texts: list[str], column: str) -> Clock:
    """The way of writing that fits most values; the two that differ in day and month must be told apart."""
    fitting = [(sum(_fits(clock, text) for text in texts), form, clock) for form, clock in _clocks()]
    most = max((count for count, _, _ in fitting), default=0)
    if not most or most < len(texts) / 2:
        raise StudioError(
            "bad-setting",
            f"The column {column} holds no moments of time.",
            given=texts[0] if texts else "an empty column",
            valid="dates such as 2024-01-31, with or without a time of day, or numbers",
            field="time_column",
        )
    best = [(form, clock) for count, form, clock in fitting if count == most]
    for day_first, month_first in (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y")):
        if {day_first, month_first} <= {form for form, _ in best} and len(texts) > 1:
            raise StudioError(
                "bad-setting",
                f"It is not clear which number in the column {column} is the day and which the month.",
                given=texts[0],
                valid="dates such as 2024-01-31",
                field="time_column",
            )
    return best[0][1]


def _fits(clock: Clock, text: str) -> bool:
    try:
        clock(text)
    except (ValueError, OverflowError, TypeError):
        return False
    return True
