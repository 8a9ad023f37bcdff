"""How easy the texts of the page and of the docs are to read: their Flesch-Kincaid grade, measured with textstat.

Grade 8 is what pupils of 13 or 14 years read. The mean of a source of page texts is at most 8, that of a page of the
docs at most 10. Page texts come from the registries, and those of other modules from the catalog of page texts
(studio/ui/locales/messages.pot). In docs, headings, tables and code blocks are left out.

.venv/bin/python benchmarks/readability.py [--worst 10] [--each]    status 1 if a mean is above its limit
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import textstat
from babel.messages.pofile import read_po
from rich.console import Console
from rich.table import Table

from studio.data.checks import CHECKS
from studio.export import EXPORTS
from studio.schema.config import TrainingConfig
from studio.schema.errors import CODES
from studio.tasks import TASKS
from studio.training.methods import METHODS
from studio.training.optimizers import OPTIMIZERS

ROOT = Path(__file__).resolve().parent.parent
PAGE_LIMIT, DOCS_LIMIT = 8.0, 10.0
"""Highest mean grade of a source of page texts, and of a page of the docs."""
FEWEST_WORDS = 4
"""A text with fewer words is a label, not a sentence."""
CATALOG = {
    "Coach": ("studio/training/coach/",),
    "Data checks": ("studio/data/checks/",),
    "Tabs": ("studio/ui/",),
    "Errors, hints, reports": ("studio/",),
}
"""Source → beginnings of its paths in the catalog. The first match counts."""
BLOCKS = re.compile(r"^```.*?^```\s*$|^~~~.*?^~~~\s*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
NOT_PROSE = re.compile(r"^\s*(?:#|\||!\[|</?\w|:?-{3,}|\[[^]]+\]:|    \S)")
"""Headings, tables, pictures, HTML, rules, link targets and indented code."""
ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")


@dataclass(frozen=True)
class Measured:
    """The grades of the texts of one source."""

    name: str
    grades: dict[str, float]
    """Text → its grade."""
    limit: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.grades.values())

    @property
    def high(self) -> float:
        """The 90th percentile."""
        ordered = sorted(self.grades.values())
        return ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]


def page_texts() -> dict[str, list[str]]:
    """Source → its texts."""
    checks = [text for check in CHECKS.values() for text in (check.why, check.fix)]
    tasks = [
        text
        for task in TASKS.values()
        for text in (task.sentence, task.reads_as, task.example_note, task.chat_hint, *(r.help for r in task.roles))
    ]
    sources = {
        "Settings": [field.description or "" for field in TrainingConfig.model_fields.values()],
        "Methods": [method.sentence for method in METHODS.values()],
        "Optimizers": [each.sentence for each in OPTIMIZERS.values()],
        "Tasks and roles": tasks,
        "Exports": [export.sentence for export in EXPORTS.values()],
        "Data checks": checks,
        "Codes of errors": list(CODES.values()),
    }
    for name, texts in catalog_texts().items():
        sources[name] = [*sources.get(name, ()), *texts]
    return sources


def catalog_texts() -> dict[str, list[str]]:
    """Source → the sentences of the catalog from its modules. Names of values become a number."""
    with (ROOT / "studio/ui/locales/messages.pot").open("rb") as file:
        catalog = read_po(file)
    found: dict[str, list[str]] = {name: [] for name in CATALOG}
    for message in catalog:
        text = re.sub(r"\{\w*\}", "5", str(message.id))
        if not message.id or not re.match(r"[“\"]?[A-Z5]", text) or not re.search(r"[.?!]$", text):
            continue
        for name, paths in CATALOG.items():
            if any(str(path).startswith(paths) for path, _ in message.locations):
                found[name].append(text)
                break
    return found


def docs_texts() -> dict[str, list[str]]:
    """Page of the docs → its paragraphs and list items. Pages made from the code are lists, and left out."""
    pages = {
        path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    }
    return {
        str(path.relative_to(ROOT)): [*paragraphs(text)]
        for path, text in pages.items()
        if "Made by scripts/docs.py" not in text
    }


def paragraphs(markdown: str) -> Iterator[str]:
    """The prose of a page, without markup. Code in a sentence counts as one short word."""
    lines: list[str] = []
    for line in [*BLOCKS.sub("", markdown).splitlines(), ""]:
        ends = not line.strip() or NOT_PROSE.match(line)
        if (ends or ITEM.match(line)) and lines:
            yield plain(" ".join(lines))
            lines = []
        if not ends:
            lines.append(ITEM.sub("", line).strip())


def plain(text: str) -> str:
    """Text without the markup of links, emphasis and code."""
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*|__|(?<!\w)[*_]|[*_](?!\w)", "", text)


def measured(name: str, texts: Iterable[str], limit: float) -> Measured:
    """The grade of each text that is a sentence or more."""
    whole = dict.fromkeys(" ".join(each.split()) for each in texts)
    long_enough = [each for each in whole if len(each.split()) >= FEWEST_WORDS]
    return Measured(name, {each: textstat.flesch_kincaid_grade(each) for each in long_enough}, limit)


def sentences(texts: Iterable[str]) -> list[tuple[float, str]]:
    """(grade, sentence) of each sentence, the hardest first."""
    parts = {part for text in texts for part in re.split(r"(?<=[.!?])\s+", text)}
    return sorted(
        ((textstat.flesch_kincaid_grade(p), p) for p in parts if len(p.split()) >= FEWEST_WORDS), reverse=True
    )


def show(console: Console, title: str, sources: list[Measured], worst: int) -> None:
    """Print a table of sources, and their hardest sentences."""
    table = Table(title=title, title_justify="left", box=None)
    for column in ("Source", "Texts", "Mean", "Median", "90th percentile", "Limit"):
        table.add_column(column, justify="left" if column == "Source" else "right")
    for each in sources:
        middle = statistics.median(each.grades.values())
        above = " above" if each.mean > each.limit else ""
        figures = (f"{each.mean:.1f}", f"{middle:.1f}", f"{each.high:.1f}", f"{each.limit:g}{above}")
        table.add_row(each.name, str(len(each.grades)), *figures)
    console.print(table)
    for grade, sentence in sentences(text for each in sources for text in each.grades)[:worst]:
        console.print(f"  {grade:4.1f}  {sentence}", markup=False)
    console.print()


def main() -> int:
    """Measure all sources. Returns the exit status."""
    parser = argparse.ArgumentParser(description="How easy the texts of the page and of the docs are to read.")
    parser.add_argument(
        "--worst", type=int, default=10, help="hardest sentences to show of page and docs (default: 10)"
    )
    parser.add_argument("--each", action="store_true", help="show them for each source and page")
    chosen = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True, width=120)
    page = [measured(name, texts, PAGE_LIMIT) for name, texts in page_texts().items()]
    docs = [measured(name, texts, DOCS_LIMIT) for name, texts in docs_texts().items()]
    for title, sources in (("Texts of the page", page), ("Docs", docs)):
        sources = [each for each in sources if each.grades]
        for group in [[each] for each in sources] if chosen.each else [sources]:
            show(console, title, group, chosen.worst)
    return int(any(each.grades and each.mean > each.limit for each in (*page, *docs)))


if __name__ == "__main__":
    sys.exit(main())
