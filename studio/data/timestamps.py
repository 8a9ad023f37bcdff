"""Timestamps in a column, parsed with the format that fits all of its values."""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import Any

from studio.data.values import is_blank
from studio.schema.errors import StudioError, bad_setting

Parser = Callable[[str], float]
"""Converts a text to seconds, or to any number that grows with time. Raises ValueError for another format."""
SAMPLED = 2_000
"""Number of values used to detect the format."""
_DATE_FORMATS = (
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
_TIME_FORMATS = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p")


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float:
    number = float(text)
    if math.isnan(number):  # it has no place in an order
        raise ValueError(text)
    return number


def _iso(text: str) -> float:
    return _seconds(datetime.fromisoformat(text))


def _mail(text: str) -> float:
    return _seconds(parsedate_to_datetime(text))


def _formatted(format_: str, text: str) -> float:
    return _seconds(datetime.strptime(text, format_))


def _parsers() -> Iterable[tuple[str, Parser]]:
    yield "a number", _number
    yield "2024-01-31", _iso
    for day in _DATE_FORMATS:
        for hour in _TIME_FORMATS:
            yield day, partial(_formatted, day + hour)
    yield "Wed, 31 Jan 2024 09:00:00 +0000", _mail


def moments_of(values: Mapping[int, Any], column: str) -> dict[int, float]:
    """Return row number → number that grows with time, for the values that are not blank. Raise `StudioError`."""
    texts = {number: str(value).strip() for number, value in values.items() if not is_blank(value)}
    parser = _parser_for(list(islice(dict.fromkeys(texts.values()), SAMPLED)), column)
    known: dict[str, float] = {}
    times, invalid = {}, []
    for number, text in texts.items():
        try:
            if text not in known:
                known[text] = parser(text)
            times[number] = known[text]
        except (ValueError, OverflowError):
            invalid.append(number)
    if invalid:
        first = invalid[0]
        raise StudioError(
            "bad-setting",
            f"The column {column} can't be the time column. Row {first} has no date or number.",
            given=texts[first],
            valid="dates in one format, such as 2024-01-31, or empty cells",
            rows=invalid[:100],
            field="time_column",
        )
    return times


def _parser_for(texts: list[str], column: str) -> Parser:
    """Return the parser that fits most values. Raise `StudioError` if day and month are ambiguous."""
    fitting = [(sum(_fits(parser, text) for text in texts), format_, parser) for format_, parser in _parsers()]
    most = max((count for count, _, _ in fitting), default=0)
    if not most or most < len(texts) / 2:
        valid = "dates such as 2024-01-31, with or without a time of day, or numbers"
        what, given = f"The column {column} has no dates or times.", texts[0] if texts else "an empty column"
        raise bad_setting("time_column", what, given, valid)
    best_parsers = [(format_, parser) for count, format_, parser in fitting if count == most]
    for day_first, month_first in (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y")):
        if {day_first, month_first} <= {format_ for format_, _ in best_parsers} and len(texts) > 1:
            what = f"The dates in the column {column} are ambiguous: day and month can't be told apart."
            raise bad_setting("time_column", what, texts[0], "dates such as 2024-01-31")
    return best_parsers[0][1]


def _fits(parser: Parser, text: str) -> bool:
    try:
        parser(text)
    except (ValueError, OverflowError, TypeError):
        return False
    return True
