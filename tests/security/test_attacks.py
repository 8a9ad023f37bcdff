"""The important part of the attack suite, each attack in its shortest form. `make test-security` tries all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.attack import Attack, Result, attempt, blocked, chosen, succeeded
from tests.security.page import CLASSES, PAGE, escaped, sections, write
from tests.security.stage import Stage

QUICK = chosen(quick=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("attack", QUICK, ids=[f"{each.group} {each.name}"[:90] for each in QUICK])
def test_an_attack_does_not_succeed(stage: Stage, attack: Attack) -> None:
    outcome = attempt(attack, stage).outcome
    assert not outcome.succeeded, outcome.what


def test_there_are_attacks_of_all_classes_and_no_two_are_alike() -> None:
    attacks = chosen()
    names = [(each.group, each.name) for each in attacks]
    assert len(attacks) >= 300 and len(set(names)) == len(names)
    ten = {f"S{number}" for number in range(1, 11)}
    assert ten <= {each.group for each in QUICK}, "the ten first cases are tried by `make test` too"
    assert {"S11", "S12", "S13", "isolation", "paths", "injection", "archives", "trust"} <= {
        each.group for each in attacks
    }


def test_the_page_of_the_docs_lists_attacks_of_all_classes_and_no_success() -> None:
    found = sections(PAGE.read_text(encoding="utf-8"))
    known = {(each.group, escaped(each.name)) for each in chosen()}
    listed = {(group, name) for group, rows in found.items() for name in rows}
    assert set(CLASSES) == {each.group for each in chosen()}
    assert not listed - known, "attacks that are gone: python -m tests.security CLASS --write"
    assert len(listed) >= 200 and {result for rows in found.values() for result in rows.values()} == {"blocked"}


def test_a_class_that_is_tried_again_changes_its_own_rows_alone(tmp_path: Path) -> None:
    page = tmp_path / "attacks.md"
    first, second = (Attack("S7", name, lambda stage: blocked(), False) for name in ("a | b <i>", "c"))
    write([Result(first, blocked(), 1), Result(second, succeeded("x"), 1)], page=page)
    write([Result(Attack("gguf", "d", lambda stage: blocked(), False), blocked(), 1)], page=page)
    write([Result(second, blocked(), 1)], whole=False, page=page)
    text = page.read_text(encoding="utf-8")
    assert sections(text) == {"S7": {escaped(first.name): "blocked", "c": "blocked"}, "gguf": {"d": "blocked"}}
    assert "<i>" not in text and "**3 attempts, 0 successes.**" in text
