"""Rows carved into parts: those learned from, those that pick the best step, and those kept for the test.

A row is judged by a hash of its text and the seed, in blocks of ten in the order of the file: so shares come out as
asked, equal texts share a part, and rows that are added below change nothing above. Labels are divided one by one.
A text that is known to be in a part stays there, and the others are divided among themselves.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from types import MappingProxyType
from typing import get_args

from studio.data.split_names import split_name
from studio.schema.dataset import SplitCounts, SplitName, SplitSpec
from studio.schema.errors import StudioError

SMALL, LARGE = 40, 400
"""Rows below which validation takes a fifth, and from which there is a test part."""
LEAST_VALIDATION = 2
BLOCK = 10
Keyed = tuple[int, int, str]
"""Row number, hash of the text that decides, label."""
Known = Mapping[int, str]
"""Hash of a text → the part that it is in."""


@dataclass(frozen=True)
class Shares:
    """Shares of the rows, and why."""

    validation: float
    test: float
    because: str


@dataclass
class Division:
    """Row number → part, with the counts."""

    of: dict[int, SplitName]
    counts: SplitCounts
    keyed: Sequence[Keyed] = ()

    @property
    def of_keys(self) -> dict[int, SplitName]:
        """Hash of a text or group → its part."""
        return {key: self.of[number] for number, key, _ in self.keyed}

    def rows(self, name: SplitName) -> list[int]:
        """The rows of one part, in the order of the file."""
        return [number for number, part in self.of.items() if part == name]


@dataclass
class _Stream:
    """One label's rows as they come: in each block of ten a fixed number is held back, chosen by hash."""

    share: float
    offset: float
    total: int | None = None
    """All rows that will come, where the count must be exact."""
    seen: int = 0
    held: int = 0
    kept_first: bool = field(default=False)
    by_hash: bool = False
    """Each row is judged for itself: the share is met about, and no other row matters."""

    def hold(self, chance: float) -> bool:
        """Whether the next row is held back; `chance` is its hash as a number from 0 to 1."""
        if self.by_hash:
            return chance < self.share
        at = self.seen % BLOCK
        block = self.seen - at
        end = block + BLOCK if self.total is None else min(block + BLOCK, self.total)
        due = floor(self.share * end + self.offset) - self.held
        self.seen += 1
        if self.kept_first and self.seen == 1:
            return False
        if chance * (end - block - at) < due:
            self.held += 1
            return True
        return False


def default_shares(rows: int, spec: SplitSpec | None = None, *, validation_file: bool = False) -> Shares:
    """The shares by the number of rows, unless they were set."""
    spec = spec or SplitSpec()
    if spec.stable_splits:
        validation, test, why = 0.10, 0.05, "By content alone, whatever the number of rows; about"
    elif rows >= LARGE:
        validation, test, why = 0.10, 0.05, f"From {LARGE} rows on"
    elif rows >= SMALL:
        validation, test, why = 0.15, 0.0, f"With {SMALL} to {LARGE - 1} rows"
    else:
        validation, test, why = 0.20, 0.0, f"With under {SMALL} rows"
    if spec.validation_share is not None:
        validation, why = spec.validation_share, "As you set it"
        test = 0.0 if validation == 0 and not validation_file else test
    if spec.test_share is not None:
        test, why = spec.test_share, "As you set it"
    if validation_file:
        validation, why = 0.0, "Validation comes from a file of its own"
    if validation + test >= 1:
        raise StudioError(
            "bad-setting",
            "Nothing would be left to learn from.",
            given=f"{validation:.0%} validation and {test:.0%} test",
            valid="shares that leave rows for training",
            field="validation_share",
        )
    parts = [f"train {1 - validation - test:.0%}"]
    parts += [f"validation {validation:.0%}"] if validation else []
    parts += [f"test {test:.0%}"] if test else []
    sentence = f"{why}: {', '.join(parts)}.".replace("%", " %")
    if not test and (validation or validation_file):
        sentence += " There is no test part: Evaluate uses validation."
    return Shares(validation, test, sentence)


def split(
    rows: Iterable[tuple[int, str, str]],
    spec: SplitSpec | None = None,
    *,
    validation_file: bool = False,
    own: Mapping[int, str] | None = None,
) -> Division:
    """Divide rows, each given by its number, the text that decides, and its label (empty: none).

    `own` holds what the file itself says of a row; only what it leaves to train is divided.
    """
    spec = spec or SplitSpec()
    hashed = ((number, key_for(spec.seed, text), label) for number, text, label in rows)
    return carve_keyed(hashed, spec, validation_file, own or {})


def carve_keyed(
    rows: Iterable[Keyed],
    spec: SplitSpec,
    validation_file: bool,
    own: Mapping[int, str],
    known: Known = MappingProxyType({}),
) -> Division:
    """As `split`, of rows whose texts are hashed; `known` texts stay where they are."""
    said: dict[int, SplitName] = {}
    listed: list[Keyed] = []
    for row in rows:
        part = split_name(own.get(row[0]))
        if part and part != "train":
            said[row[0]] = part
        else:
            listed.append(row)
    brought = set(said.values())
    if brought:
        return _beside_own(said, listed, spec, validation_file or "validation" in brought, "test" in brought, known)
    shares = default_shares(len(listed), spec, validation_file=validation_file)
    stays = any(key in known for _, key, _ in listed) and shares.validation + shares.test > 0
    because = f"{shares.because} What was here before stays in its part." if stays else shares.because
    division = division_of(_carve(listed, shares, spec, known), because)
    division.keyed = listed
    return division


def _beside_own(
    said: dict[int, SplitName], listed: list[Keyed], spec: SplitSpec, validated: bool, tested: bool, known: Known
) -> Division:
    """What the file brought stays; a validation part that it lacks is carved from its rows for training."""
    because = "The file brought its own parts."
    of: dict[int, SplitName] = {number: "train" for number, _, _ in listed}
    if not validated:
        usual = default_shares(len(listed), spec)
        carved = Shares(usual.validation, 0.0 if tested else usual.test, "")
        of = _carve(listed, carved, spec, known)
        because += f" It had no validation part: {usual.validation:.0%} of the rest was taken.".replace("%", " %")
    elif not tested:
        because += " There is no test part: Evaluate uses validation."
    division = division_of(dict(sorted((of | said).items())), because)
    division.keyed = listed
    return division


def key_for(seed: int, text: str) -> int:
    digest = hashlib.blake2b(f"{seed}\n{' '.join(text.split())}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest)


def _carve(listed: Sequence[Keyed], shares: Shares, spec: SplitSpec, known: Known) -> dict[int, SplitName]:
    held_share = shares.validation + shares.test
    firsts: dict[int, str] = {}
    for _, key, label in listed:
        firsts.setdefault(key, label)
    small = len(listed) < SMALL
    before = {key: known[key] for key in firsts if known.get(key, "train") != "train"} if held_share else {}
    held = _held({key: label for key, label in firsts.items() if key not in known}, held_share, spec, small)
    new = dict(held)
    held |= dict.fromkeys(before)
    if shares.validation:
        _at_least(held, firsts, min(LEAST_VALIDATION if small else 1, len(firsts) - 1))
    tests = _tested(new, shares.test / held_share, spec.stable_splits) if held_share else set()
    tests |= {key for key, part in before.items() if part == "test"}
    if shares.validation and tests and len(tests) == len(held):  # of a few large groups
        tests.discard(min(tests))
    of: dict[int, SplitName] = {}
    for number, key, _ in listed:
        of[number] = "train" if key not in held else "test" if key in tests else "validation"
    return of


def _held(firsts: Mapping[int, str], share: float, spec: SplitSpec, small: bool) -> dict[int, None]:
    """Texts that are held back from training, in the order of the file."""
    totals: dict[str, int] = {}
    for label in firsts.values():
        totals[label] = totals.get(label, 0) + 1
    streams: dict[str, _Stream] = {}
    held: dict[int, None] = {}
    for key, label in firsts.items():
        if label not in streams:
            # many small labels must not all round the same way
            offset = 0.5 if len(totals) == 1 else key_for(spec.seed, f"label {label}") / 2**64
            total = totals[label] if small else None
            streams[label] = _Stream(share, offset, total, kept_first=bool(label), by_hash=spec.stable_splits)
        if share and streams[label].hold(key / 2**64):
            held[key] = None
    return held


def _at_least(held: dict[int, None], firsts: Mapping[int, str], least: int) -> None:
    """Hold back the texts of the lowest hash until there are enough, from the labels that have the most rows."""
    while len(held) < least:
        left: dict[str, list[int]] = {}
        for key, label in firsts.items():
            if key not in held:
                left.setdefault(label, []).append(key)
        fullest = max(left, key=lambda label: len(left[label]))
        held[min(left[fullest])] = None


def _tested(held: Mapping[int, None], share: float, by_hash: bool) -> set[int]:
    """Of the texts held back, those that are for the test; by a hash of their own, so that both parts are alike."""
    stream = _Stream(share, 0.5, by_hash=by_hash)
    return {key for key in held if stream.hold(key_for(1, str(key)) / 2**64)} if share else set()


def division_of(of: dict[int, SplitName], because: str) -> Division:
    counts = {name: 0 for name in get_args(SplitName)}
    for part in of.values():
        counts[part] += 1
    return Division(of, SplitCounts(**counts, because=because))
