"""An attack: what it tries, against what, and what it saw. The table of all of them."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.security.stage import Stage


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    succeeded: bool
    what: str
    """What the attacker saw."""


@dataclass(frozen=True)
class Attack:
    """One attempt."""

    group: str
    """The class of attacks: an item of the issue (`S1`), or what is attacked (`isolation`)."""
    name: str
    """What is tried, as a sentence."""
    attempt: Callable[[Stage], Outcome]
    quick: bool
    """Whether `make test` tries it too."""


ATTACKS: list[Attack] = []


def blocked(what: str = "") -> Outcome:
    """The attack was blocked."""
    return Outcome(False, what)


def succeeded(what: str) -> Outcome:
    """The attack succeeded."""
    return Outcome(True, what)


def outcome(success: bool, what: str) -> Outcome:
    """The attack succeeded or not, with what the attacker saw either way."""
    return Outcome(success, what)


def attack(group: str, name: str, payloads: Iterable[Any] | None = None, quick: int | bool = False) -> Any:
    """Register a function of the stage (and a payload) as one attack, or as one for each payload.

    `name` may show the payload (`{0}`). `quick`: whether `make test` tries it, or how many of the payloads.
    """

    def register(attempt: Callable[..., Outcome]) -> Callable[..., Outcome]:
        if payloads is None:
            ATTACKS.append(Attack(group, name, attempt, bool(quick)))
            return attempt
        for number, payload in enumerate(payloads):
            shown = payload[0] if isinstance(payload, tuple) else payload
            text = shown if isinstance(shown, str) and shown.isprintable() else ascii(shown)
            label = name.format(text if len(text) <= 70 else f"{text[:60]}… ({len(text):,} characters)")
            ATTACKS.append(Attack(group, label, lambda stage, p=payload: attempt(stage, p), number < int(quick)))
        return attempt

    return register


@dataclass(frozen=True)
class Result:
    """An attack and how it ended."""

    attack: Attack
    outcome: Outcome
    seconds: float


def attempt(attack: Attack, stage: Stage) -> Result:
    """Try one attack. One that can't be carried out counts as a success: nothing shows that it was blocked."""
    began = time.monotonic()
    try:
        ended = attack.attempt(stage)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ended = succeeded(f"NOT CARRIED OUT: {type(error).__name__}: {error} ({where.name}, line {where.lineno})")
    finally:
        stage.clear()
    return Result(attack, ended, time.monotonic() - began)


def chosen(groups: Sequence[str] = (), quick: bool = False, words: str = "") -> list[Attack]:
    """The attacks of some classes, or all, in the order in which the issue names them."""
    from tests.security import attacks  # noqa: F401  (they register themselves)

    ordered = sorted(ATTACKS, key=lambda each: int(each.group[1:]) if each.group[1:].isdigit() else len(ATTACKS))
    found = [each for each in ordered if (not groups or each.group in groups) and (each.quick or not quick)]
    return [each for each in found if words.lower() in each.name.lower()]


def table(results: Sequence[Result]) -> str:
    """Class, attempts, blocked, succeeded."""
    lines = [f"{'class':<12} {'attempts':>8} {'blocked':>8} {'succeeded':>10} {'seconds':>8}"]
    groups = list(dict.fromkeys(each.attack.group for each in results))
    for group in [*groups, ""]:
        mine = [each for each in results if each.attack.group == group or not group]
        lost = sum(each.outcome.succeeded for each in mine)
        spent = sum(each.seconds for each in mine)
        lines.append(f"{group or 'all':<12} {len(mine):>8} {len(mine) - lost:>8} {lost:>10} {spent:>8.0f}")
    return "\n".join(lines)


def progress(result: Result) -> None:
    """One line while they run, on a terminal or in a log."""
    mark = "SUCCEEDED" if result.outcome.succeeded else "blocked"
    print(f"{mark:<10} {result.seconds:5.1f} s  {result.attack.group:<10} {result.attack.name}", flush=True)
    if result.outcome.succeeded:
        print(f"{'':<21}{result.outcome.what[:400]}", flush=True)
    sys.stdout.flush()
