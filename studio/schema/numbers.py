"""Numbers and times as people read them, each with its unit."""

from datetime import UTC, datetime
from typing import Any

_BYTES = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


def size(count: float) -> str:
    """Bytes as `3.9 GB`, `270 MB`, `212 KB`."""
    unit, factor = _unit(count)
    return f"{_short(count / factor)} {unit}"


def size_of(done: float, total: float) -> tuple[str, str]:
    """Two sizes in the unit of the larger, for `3.9` of `24 GB`."""
    unit, factor = _unit(max(done, total))
    return _short(done / factor), f"{_short(total / factor)} {unit}"


def _unit(count: float) -> tuple[str, float]:
    return next(((unit, factor) for unit, factor in _BYTES if count >= factor * 0.9995), ("bytes", 1.0))


def _short(value: float) -> str:
    if value >= 20 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def count(number: float) -> str:
    """A number as `1,234`, or `2.4 M` and `1.2 B` when it is large."""
    for unit, factor in (("B", 1e9), ("M", 1e6)):
        if abs(number) >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number:,.0f}"


def plural(number: float, one: str, more: str, **values: object) -> str:
    """A text about one thing or about more of them, with the number as {n}: `1 row is empty.`, `3 rows are empty.`"""
    return (one if number == 1 else more).format(n=f"{number:,.10g}", **values)


def rows(number: int) -> str:
    """`1 row`, `984 rows`."""
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def plain_value(value: Any, none: str = "", words: tuple[str, str] = ("yes", "no"), separator: str = "") -> str:
    """The value of a setting as text. `words`: for True and False; `separator`: between the thousands of a number."""
    if value is None:
        return none
    if isinstance(value, bool):
        return words[not value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:{separator}}" if isinstance(value, int) else str(value)


def runs(number: int) -> str:
    """`1 run`, `3 runs`."""
    return "1 run" if number == 1 else f"{number} runs"


def share(part: float, digits: int = 0) -> str:
    """A share of 0 to 1 as `85%`."""
    return f"{part * 100:.{digits}f}%"


def speed(rows: float) -> str:
    """Rows per second as `240 rows per second`, or per minute when they are few."""
    return f"{rows:,.0f} rows per second" if rows >= 2 else f"{60 * rows:,.0f} rows per minute"


def duration(seconds: float) -> str:
    """A time that is known: `48 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def about(seconds: float) -> str:
    """A time that is estimated: `under a minute`, `7 min`, `2 h 10 min`."""
    if seconds < 50:
        return "under a minute"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    if minutes >= 48 * 60:
        days = round(minutes / 1440)
        return f"{days} days"
    return duration(round(minutes / 10) * 600)


def time_range(low: float, high: float) -> str:
    """An estimate as a range of seconds, `6–8 min`."""
    if high < 60:
        return "under a minute"
    if high < 3600:
        first, last = max(1, round(low / 60)), max(1, round(high / 60))
        return f"{last} min" if first == last else f"{first}–{last} min"
    digits = 1 if high < 36_000 else 0
    return f"{low / 3600:.{digits}f}–{high / 3600:.{digits}f} h"


def timestamp(time: str) -> float:
    """A stored time (ISO 8601 with its zone) as seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()


def ago(moment: str) -> str:
    """An ISO time as `just now`, `5 min ago`, `3 h ago`, `12 Nov`."""
    then = datetime.fromisoformat(moment)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = (datetime.now(UTC) - then).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        minutes = int(seconds // 60)
        return f"{minutes} min ago"
    if seconds < 86_400:
        hours = int(seconds // 3600)
        return f"{hours} h ago"
    return f"{then.day} {then:%b}" if then.year == datetime.now(UTC).year else f"{then.day} {then:%b %Y}"


def memory(count: float) -> str:
    """Memory in gigabytes of 2**30, as machines are sold: `3.9 GB`, `24 GB`; less than a tenth in megabytes."""
    gigabytes = count / 2**30
    if 0 < gigabytes < 0.1:
        return f"{max(1, round(count / 2**20))} MB"
    return f"{gigabytes:.0f} GB" if gigabytes >= 10 else f"{_short(round(gigabytes, 1))} GB"


def memory_of(done: float, total: float) -> tuple[str, str]:
    """`3.9` and `24 GB`."""
    return _short(round(done / 2**30, 1)), f"{total / 2**30:.0f} GB"
