"""Rows in another language than the rest, each side of a row by itself: a translation has two.

Which words the rows have in common is learned from the first ones, so that only rows that share few of them are shown
to the library. Rows that speak of the language (a request to translate) are right as they are.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from studio.data.checks.base import Check, Context, Seen, turns_in
from studio.data.languages import READ, are_kin, is_named, language_of, name_of, prose
from studio.data.phrases import listed, many
from studio.schema.dataset import Problem

FIRST = 400
"""Texts of a side from which its language and its usual words are learned."""
LEAST = 20
"""Texts with a verdict that a side needs: before, nobody can say what is usual."""
USUAL_WORDS, USUAL_SHARE = 100, 0.02
"""Words that count as usual, at most, and the share of the texts that each must stand in."""
SOME = 100
"""Texts by which a side's language is told."""
MOSTLY = 0.8
"""Share of the verdicts that one language needs to be the side's own: with less, several are meant."""
AT_HOME = 0.2
"""Share of usual words from which a text is taken to be in the side's language."""
MOST = 100_000
"""Rows that are looked at, unless all are asked for."""


@dataclass
class _Side:
    """One side of the rows, the replies say: what is usual there, once enough was seen."""

    first: list[tuple[int, str, str]] = field(default_factory=list)
    """Row number, text, and all that the row says: kept until the side is settled."""
    settled: bool = False
    usual: frozenset[str] = frozenset()
    some: list[str] = field(default_factory=list)
    """Texts that tell the side's language, should a row stand out."""
    others: dict[int, str] = field(default_factory=dict)
    """Row number → its other language."""

    @cached_property
    def language(self) -> str:
        """The language of nearly all texts with a verdict; empty where several are meant, or nobody can say."""
        verdicts = Counter(filter(None, (language_of(prose(text)) for text in self.some)))
        code, most = verdicts.most_common(1)[0] if verdicts else ("", 0)
        return code if verdicts.total() >= LEAST and most >= MOSTLY * verdicts.total() else ""

    def settle(self) -> None:
        """Learn what is usual, and judge what was kept for it."""
        self.settled = True
        first, self.first = self.first, []
        if len(first) < LEAST:
            return
        spread = Counter(word for _, text, _ in first for word in _words(text))
        often = max(2, USUAL_SHARE * len(first))
        self.usual = frozenset(word for word, texts in spread.most_common(USUAL_WORDS) if texts >= often)
        self.some = [text for _, text, _ in first[:: -(-len(first) // SOME)]]
        for kept in first:
            self.judge(*kept)

    def judge(self, number: int, text: str, whole: str) -> None:
        """Note a row that stands out, is in another language for sure, and does not speak of it."""
        if not self.some or self._at_home(text):
            return
        words = prose(text)
        if not words or not self.language:
            return
        language = language_of(words)
        if language and not are_kin(language, self.language) and not is_named(language, whole):
            self.others[number] = language

    def _at_home(self, text: str) -> bool:
        words = _words(text)
        return len(self.usual.intersection(words)) >= AT_HOME * max(1, len(words))


class WrongLanguage(Check):
    kind = "wrong-language"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sides: dict[str, _Side] = {}
        self.one_in = 1 if context.whole else -(-len(context.table) // MOST)
        self.looked = 0

    def see(self, seen: Seen) -> None:
        if seen.number % self.one_in:
            return
        self.looked += 1
        whole = " ".join(seen.texts)
        for name, text in _sides_of(seen):
            side = self.sides.setdefault(name, _Side())
            if side.settled:
                side.judge(seen.number, text, whole)
            elif prose(text):
                side.first.append((seen.number, text[: 4 * READ], whole[: 8 * READ]))
                if len(side.first) >= FIRST:
                    side.settle()

    def finish(self) -> None:
        for side in self.sides.values():
            if not side.settled:
                side.settle()
        self.found.extend(sorted({number for side in self.sides.values() for number in side.others}))

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        counts = Counter(name_of(code) for side in self.sides.values() for code in side.others.values())
        usual = listed(dict.fromkeys(name_of(side.language) for side in self.sides.values() if side.others))
        sampled = f" Looked for in a sample of {many(self.looked, 'row')}." if self.one_in > 1 else ""
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row is', 'rows are')} in another language than the rest, which is {usual}: "
                f"{listed(f'{name} ({count:,})' for name, count in counts.most_common())}.{sampled}",
                "A few rows in another language are learned badly, and may make the model change languages in the "
                "middle of a reply.",
                "Remove them",
            )
        ]


def _sides_of(seen: Seen) -> Iterator[tuple[str, str]]:
    """What each role says; of a conversation what people say, and what the model says. A label is no prose."""
    for role, value in seen.values.items():
        if isinstance(value, str) and role != "label":
            yield role, value
        elif turns := turns_in(value):
            for speaker in ("user", "assistant"):
                said = (turn["content"] for turn in turns if turn["role"] == speaker and turn["content"])
                yield f"{role} {speaker}", "\n".join(said)


def _words(text: str) -> set[str]:
    """The words of a text's beginning, roughly: this is asked of every row."""
    return set(text[:READ].casefold().split())
