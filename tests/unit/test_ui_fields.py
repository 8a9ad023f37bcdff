"""Fields of the page: their ids come from their names, and all tabs are in one document."""

import re
from collections import defaultdict
from pathlib import Path

import studio.ui

TABS = Path(studio.ui.__file__).parent / "tabs"


def test_no_two_tabs_have_a_field_of_one_name() -> None:
    """A label leads to the first element with its id, which would be the field of the other tab."""
    tabs_of = defaultdict(set)
    for path in TABS.rglob("*.py"):
        tab = path.relative_to(TABS).parts[0].removesuffix(".py")
        for name in re.findall(r'Field\(\s*"([\w-]+)"', path.read_text(encoding="utf-8")):
            tabs_of[name].add(tab)
    assert len(tabs_of) > 10
    assert not {name: tabs for name, tabs in tabs_of.items() if len(tabs) > 1}
