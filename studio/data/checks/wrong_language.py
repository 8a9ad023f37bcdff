"""Rows in another language than the rest. Each side of a row is judged alone, because a translation has two languages.

The first rows of a side show which words are common. Only rows with few common words go to the language detector. A
row that mentions the language, such as a request to translate, is correct.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from studio.data.checks.base import Check, Context, RowView, messages_in
from studio.data.languages import LEAST, READ, are_close, is_named, language_of, name_of, prose, usual_language
from studio.data.phrases import listed
from studio.schema.numbers import plural, rows

BUFFER = 400
"""Number of texts from which a side's language and its usual words are determined."""
USUAL_WORDS, USUAL_SHARE = 100, 0.02
"""Maximum number of usual words, and the minimum fraction of texts that contain each of them."""
SAMPLE = 100
"""Number of texts that determine a side's language."""
USUAL_WORDS_SHARE = 0.2
"""Fraction of usual words from which a text counts as being in the side's language."""
MOST = 100_000
"""Maximum number of rows to check, unless all rows are requested."""


@dataclass
class _Side:
    """One side of the rows, for example the replies. It holds what is usual there after enough rows."""

    buffer: list[tuple[int, str, str]] = field(default_factory=list)
    """Row number, text, and all texts of the row, buffered until the side is fitted."""
    fitted: bool = False
    usual: frozenset[str] = frozenset()
    sample: list[str] = field(default_factory=list)
    """Texts that determine the side's language if a row stands out."""
    others: dict[int, str] = field(default_factory=dict)
    """Row number → its different language."""

    @cached_property
    def language(self) -> str:
        """The language of nearly all texts with a detection. Empty if there are several, or too few detections."""
        return usual_language(self.sample)

    def fit(self) -> None:
        """Determine the usual words, and judge the buffered rows."""
        self.fitted = True
        buffer, self.buffer = self.buffer, []
        if len(buffer) < LEAST:
            return
        spread = Counter(word for _, text, _ in buffer for word in _words(text))
        often = max(2, USUAL_SHARE * len(buffer))
        self.usual = frozenset(word for word, texts in spread.most_common(USUAL_WORDS) if texts >= often)
        self.sample = [text for _, text, _ in buffer[:: -(-len(buffer) // SAMPLE)]]
        for row in buffer:
            self.judge(*row)

    def judge(self, number: int, text: str, whole: str) -> None:
        """Record a row that looks unusual, is surely in another language, and does not mention that language."""
        if not self.sample or self._looks_usual(text):
            return
        words = prose(text)
        if not words or not self.language:
            return
        language = language_of(words)
        if language and not are_close(language, self.language) and not is_named(language, whole):
            self.others[number] = language

    def _looks_usual(self, text: str) -> bool:
        words = _words(text)
        return len(self.usual.intersection(words)) >= USUAL_WORDS_SHARE * max(1, len(words))


class WrongLanguage(Check):
    kind = "wrong-language"
    why = "The model learns little from them, and may switch to another language within a reply."
    fix = "Remove them"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sides: dict[str, _Side] = {}
        self.one_in = 1 if context.whole else -(-len(context.table) // MOST)
        self.checked = 0

    def visit(self, view: RowView) -> None:
        if view.number % self.one_in:
            return
        self.checked += 1
        whole = " ".join(view.texts)
        for name, text in _sides_of(view):
            side = self.sides.setdefault(name, _Side())
            if side.fitted:
                side.judge(view.number, text, whole)
            elif prose(text):
                side.buffer.append((view.number, text[: 4 * READ], whole[: 8 * READ]))
                if len(side.buffer) >= BUFFER:
                    side.fit()

    def finish(self) -> None:
        for side in self.sides.values():
            if not side.fitted:
                side.fit()
        self.row_numbers.extend(sorted({number for side in self.sides.values() for number in side.others}))

    def message(self) -> str:
        counts = Counter(name_of(code) for side in self.sides.values() for code in side.others.values())
        message = plural(
            len(self.row_numbers),
            "{n} row is not in the language of the others, {usual}: {languages}.",
            "{n} rows are not in the language of the others, {usual}: {languages}.",
            usual=listed(dict.fromkeys(name_of(side.language) for side in self.sides.values() if side.others)),
            languages=listed(f"{name} ({count:,})" for name, count in counts.most_common()),
        )
        if self.one_in > 1:
            message += f" Checked in a sample of {rows(self.checked)}."
        return message


def _sides_of(view: RowView) -> Iterator[tuple[str, str]]:
    """Yield name and text of each side: each text role, and the user and assistant side of a conversation."""
    for role, value in view.values.items():
        if isinstance(value, str) and role != "label":
            yield role, value
        elif messages := messages_in(value):
            for speaker in ("user", "assistant"):
                texts = (
                    message["content"] for message in messages if message["role"] == speaker and message["content"]
                )
                yield f"{role} {speaker}", "\n".join(texts)


def _words(text: str) -> set[str]:
    """Return the words at the beginning of a text. Fast and approximate, because it runs for every row."""
    return set(text[:READ].casefold().split())
