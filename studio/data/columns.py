"""Column statistics: what the name and the first rows show about a column's content."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from studio.data.synthetic import MARKS
from studio.data.table import Row, Table
from studio.data.thumbs import thumb_of
from studio.data.values import is_blank, label_name

_SPLIT_ENDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[12]$)")
"""Between the words of a name in lower case, and before a 1 or 2 at its end."""
_TWIN_ENDS = (
    ("a", "b"),
    ("1", "2"),
    ("left", "right"),
    ("first", "second"),
    ("base", "tuned"),
    ("chosen", "rejected"),
)
_SPLIT_WORDS = re.compile(r"[\s_\-./]+|(?<=[a-z])(?=[A-Z])")
_BOOKKEEPING = frozenset(
    "id ids uuid guid index idx date time timestamp datetime created updated url link uri hash unnamed row nr no "
    "number filename file path split fold author".split()
)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
_PART = re.compile(r"[+-]?\d*[.,]\d*[1-9]\d*")
SEPARATORS = ("|", ";", ",")
"""Characters that can separate several labels in one cell."""
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_WRITTEN = frozenset(("answer", "answers", "completion", "output", "reply", "response", "target"))
"""Words of the names of columns that a model writes. Their numbers may increase, as in a times table."""
MIN_COUNTED = 8
"""Fewer increasing numbers can be a coincidence."""
_STATISTICS = {"turns": "turns", "pairs": "pairs", "thumb": "thumbs", "labels": "label_lists", "score": "scores"}
"""What a role holds → the statistic that shows it."""


@dataclass(frozen=True)
class Column:
    """Statistics of a column over the first rows."""

    name: str
    filled: int
    distinct: int
    mean_length: float
    texts: bool
    """Most values are text, not numbers, dates or lists."""
    turns: bool
    """Most values are lists of messages."""
    pairs: bool
    """All values are lists of question–answer pairs."""
    nested: bool
    thumbs: bool
    """All values are yes or no, up or down."""
    label_lists: bool
    """Values are lists of labels that repeat."""
    scores: bool
    """All values are numbers, and some are fractional."""
    bookkeeping: bool
    """The name is that of an id, a date or a link."""
    words: tuple[str, ...] = ()
    """The words of its name in lower case."""
    counts_up: bool = False
    """All values are whole numbers that increase from row to row, as ids do, and the name is not that of an answer."""

    @property
    def few_values(self) -> bool:
        """Few different short values, each several times, as a label column has."""
        return (
            not self.nested
            and self.filled >= 4
            and 2 <= self.distinct <= max(2, min(50, self.filled // 2))
            and self.mean_length <= 40
        )

    @property
    def prose(self) -> bool:
        """Texts that differ, as a model's input or output."""
        return self.texts and not self.few_values and self.distinct > 1

    def can_hold(self, holds: str) -> bool:
        """Return whether the content fits a role (see `Role.holds`). True for a column without values."""
        if not self.filled:
            return True
        if holds in _STATISTICS:
            return bool(getattr(self, _STATISTICS[holds]))
        if holds == "reply":
            return True
        if holds == "label":
            return not self.turns and not (self.mean_length > 60 and self.distinct > self.filled / 2)
        if holds == "passage":
            return not self.nested and not self.few_values
        return not self.nested and not self.counts_up


def words_of(name: str) -> list[str]:
    """Return the words of a column's name in lower case: `customerQuestion` gives `customer`, `question`."""
    return [word.lower() for word in _SPLIT_WORDS.split(name.strip()) if word]


def twin_columns(names: Sequence[str]) -> tuple[str, str] | None:
    """Return two columns whose names differ in their ends only, like `answer a` and `answer b`. None: no such pair."""
    by_words = {tuple(filter(None, _SPLIT_ENDS.split(name.lower()))): name for name in names}
    for one, other in _TWIN_ENDS:
        for words, name in by_words.items():
            twin = by_words.get((*words[:-1], other)) if words[-1:] == (one,) else None
            if twin:
                return name, twin
    return None


def longest_column(table: Table, among: Sequence[str]) -> str:
    """Return the column with the most text in a sample of rows. Empty if there is none."""
    rows = table.sample()
    return max(among, key=lambda column: sum(len(str(row.get(column) or "")) for row in rows), default="")


def describe_column(name: str, rows: Sequence[Row]) -> Column:
    """Return the statistics of a column over some rows."""
    values = [value for row in rows if not is_blank(value := row.get(name))]
    nested = [value for value in values if isinstance(value, list | dict)]
    turns = sum(is_turns(value) for value in values)
    plain = [label_name(value) for value in values if not isinstance(value, list | dict)]
    numbers = sum(bool(_NUMBER.fullmatch(text) or _DATE.fullmatch(text)) for text in plain)
    words = words_of(name)
    return Column(
        name=name,
        filled=len(values),
        distinct=len(set(plain)),
        mean_length=sum(map(len, plain)) / len(plain) if plain else 0.0,
        texts=bool(plain) and len(plain) > len(values) / 2 and numbers < len(plain) / 2,
        turns=bool(values) and turns > len(values) / 2,
        pairs=bool(values) and all(map(_is_pair_list, values)),
        nested=len(nested) > len(values) / 2,
        thumbs=bool(plain) and len(plain) == len(values) and all(thumb_of(value) is not None for value in set(plain)),
        label_lists=_holds_label_lists(values),
        scores=bool(plain) and numbers == len(plain) and any(_PART.fullmatch(text) for text in plain),
        bookkeeping=name in MARKS or (bool(words) and (words[-1] in _BOOKKEEPING or words[0] == "unnamed")),
        words=tuple(words),
        counts_up=not _WRITTEN & set(words) and _counts_up(plain) and len(plain) == len(values),
    )


def _counts_up(texts: Sequence[str]) -> bool:
    """Return whether all texts are whole numbers, each larger than the one before. False for a few of them."""
    if len(texts) < MIN_COUNTED or not all(text.isascii() and text.isdecimal() for text in texts):
        return False
    numbers = [(len(text.lstrip("0")), text.lstrip("0")) for text in texts]  # in order also where int() refuses
    return all(one < other for one, other in pairwise(numbers))


def _is_pair_list(value: Any) -> bool:
    """Return whether a value is a list of pairs, or its JSON."""
    if isinstance(value, str):
        return "".join(value[:20].split()).startswith("[[")
    return isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)


def _holds_label_lists(values: Sequence[Any]) -> bool:
    """Return whether some values are several names (a list, or with a separator), and the names repeat."""
    lists = [value if isinstance(value, list) else _split_names(value) for value in values]
    names = [name for each in lists if each for name in each]
    if not names or not any(each and len(each) > 1 for each in lists) or None in lists:
        return False
    if not all(isinstance(name, str | int) and len(str(name)) <= 40 for name in names):
        return False
    return len(set(names)) <= len(names) / 2


def _split_names(value: Any) -> list[str] | None:
    """Return the names in a text. None for other values and for long texts."""
    if not isinstance(value, str) or len(value) > 200:
        return None
    parts = next((value.split(sign) for sign in SEPARATORS if sign in value), [value])
    return [part.strip() for part in parts]


def is_turns(value: Any) -> bool:
    """Return whether a value looks like a list of messages, or its JSON."""
    if isinstance(value, str):
        return value.startswith("[{") and (
            '"role"' in value or '"from"' in value or "'role'" in value or "'from'" in value
        )
    if isinstance(value, dict):
        return is_turns(value.get("messages"))
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and ({"role", "content"} <= value[0].keys() or {"from", "value"} <= value[0].keys() or "role" in value[0])
    )
