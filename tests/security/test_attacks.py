"""The important part of the attack suite, each attack in its shortest form. `make test-security` tries all of them."""

from collections.abc import Iterator

import pytest

from tests.security.attack import Attack, attempt, chosen
from tests.security.stage import Stage

QUICK = chosen(quick=True)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("attack", QUICK, ids=[f"{each.group} {each.name}"[:90] for each in QUICK])
def test_an_attack_does_not_succeed(stage: Stage, attack: Attack) -> None:
    seen = attempt(attack, stage).seen
    assert not seen.succeeded, seen.what


def test_there_are_attacks_of_all_classes_and_no_two_are_alike() -> None:
    attacks = chosen()
    names = [(each.group, each.name) for each in attacks]
    assert len(attacks) >= 300 and len(set(names)) == len(names)
    ten = {f"S{number}" for number in range(1, 11)}
    assert ten <= {each.group for each in QUICK}, "the ten first cases are tried by `make test` too"
    assert {"S11", "S12", "S13", "isolation", "paths", "injection", "archives", "trust"} <= {
        each.group for each in attacks
    }
