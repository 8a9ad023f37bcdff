"""Every refusal in the code says what would be right or what to do next; those whose words tell it are named here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "studio"
CARRIED = {
    "schema/settings_check.py": "a validator's own words, which name the range",
    "services/runs/history.py": "a rule on lengths, said as such",
    "services/labeling/labels.py": "how many rows are needed, and how many there are",
}
"""Module → what its words are, where the sentence itself says what would be right."""
BETWEEN_PROGRAMS = {"host/handlers.py", "host/host.py"}
"""Said by one of our processes to another that breaks the protocol: nobody can do anything about it."""


def calls(path: Path) -> list[ast.Call]:
    """All refusals that a module makes."""
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == "StudioError"]


def teaches(call: ast.Call) -> bool:
    """Whether it has a hint, says what is valid, or gathers others that do."""
    given = {each.arg: each.value for each in call.keywords}
    said = {name for name, value in given.items() if not (isinstance(value, ast.Constant) and not value.value)}
    return bool(said & {"hint", "valid", "problems", None})


MODULES = [path for path in sorted(ROOT.rglob("*.py")) if calls(path)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_refusal_says_what_would_be_right_or_what_to_do(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    silent = [f"{name}:{call.lineno} {ast.unparse(call)[:100]}" for call in calls(path) if not teaches(call)]
    if name in CARRIED or name in BETWEEN_PROGRAMS:
        assert len(silent) == 1, f"one is excused, no more, and none that teaches by now: {silent}"
    else:
        assert not silent


@pytest.mark.slow
def test_there_are_refusals_to_look_at() -> None:
    assert sum(len(calls(path)) for path in MODULES) > 200
