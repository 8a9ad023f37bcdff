"""The code blocks of README.md and docs/, as tests read them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
GENERATED = {f"docs/reference/{name}.md" for name in ("commands", "errors", "matrix", "settings")}
"""Pages that scripts/docs.py writes whole. Their commands are the examples of the help, which other tests parse."""
_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1``` *$", re.DOTALL | re.MULTILINE)
_VARIABLE = re.compile(r"^[A-Z_]+=\S+ ")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines: continued lines as one, without comments and without variables before the command."""
        lines = [line.split(" #")[0].strip() for line in self.text.replace("\\\n", " ").splitlines()]
        return [_VARIABLE.sub("", line) for line in lines if line and not line.startswith("#")]


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, which is named from the root of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = _BLOCK.finditer(text)
    return [Block(page, text[: each.start()].count("\n") + 1, each[2].strip(), each[3]) for each in found]
