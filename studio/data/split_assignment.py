"""Assignment of rows to the splits train, validation and test.

A hash of a row's text and the seed decides, in blocks of ten rows in file order. So the fractions are met, equal texts
are in the same split, and rows added at the end change nothing above. Each label is split separately. A text with a
known split keeps it, and the other texts are split among themselves.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from types import MappingProxyType
from typing import get_args

from studio.data.split_names import split_name
from studio.schema.dataset import SplitCounts, SplitName, SplitSpec
from studio.schema.errors import bad_setting

SMALL, LARGE = 40, 400
"""Below SMALL rows, validation gets 20%. From LARGE rows on, there is a test split."""
LEAST_VALIDATION = 2
BLOCK = 10
Keyed = tuple[int, int, str]
"""Row number, hash of the text that decides, label."""
Known = Mapping[int, str]
"""Hash of a text → its known split."""


@dataclass(frozen=True)
class SplitFractions:
    """Fractions of the rows, and the reason."""

    validation: float
    test: float
    because: str


@dataclass
class SplitAssignment:
    """Row number → split, with the counts."""

    splits: dict[int, SplitName]
    counts: SplitCounts
    keyed: Sequence[Keyed] = ()

    @property
    def splits_by_key(self) -> dict[int, SplitName]:
        """Hash of a text or group → its split."""
        return {key: self.splits[number] for number, key, _ in self.keyed}

    def rows(self, name: SplitName) -> list[int]:
        """Return the row numbers of one split, in file order."""
        return [number for number, split_ in self.splits.items() if split_ == name]


@dataclass
class _Stream:
    """The rows of one label, in file order. In each block of ten, a fixed number is held out, chosen by hash."""

    fraction: float
    offset: float
    total: int | None = None
    """Total number of rows, if the held-out count must be exact."""
    seen: int = 0
    held_out: int = 0
    keep_first: bool = field(default=False)
    by_hash: bool = False
    """Judge each row by its hash alone. The fraction is met approximately, and no other row matters."""

    def hold_out(self, hash_fraction: float) -> bool:
        """Return whether the next row is held out. The argument is its hash as a number from 0 to 1."""
        if self.by_hash:
            return hash_fraction < self.fraction
        position = self.seen % BLOCK
        block = self.seen - position
        end = block + BLOCK if self.total is None else min(block + BLOCK, self.total)
        remaining = floor(self.fraction * end + self.offset) - self.held_out
        self.seen += 1
        if self.keep_first and self.seen == 1:
            return False
        if hash_fraction * (end - block - position) < remaining:
            self.held_out += 1
            return True
        return False


def default_fractions(rows: int, spec: SplitSpec | None = None, *, validation_file: bool = False) -> SplitFractions:
    """Return the fractions for a number of rows, or those set in `spec`. Raise `StudioError` if none remains."""
    spec = spec or SplitSpec()
    if spec.stable_splits:
        validation, test, why = 0.10, 0.05, "By content, so fractions are approximate"
    elif rows >= LARGE:
        validation, test, why = 0.10, 0.05, f"Default for {LARGE} rows or more"
    elif rows >= SMALL:
        validation, test, why = 0.15, 0.0, f"Default for {SMALL} to {LARGE - 1} rows"
    else:
        validation, test, why = 0.20, 0.0, f"Default for fewer than {SMALL} rows"
    if spec.validation_share is not None:
        validation, why = spec.validation_share, "Your setting"
        test = 0.0 if validation == 0 and not validation_file else test
    if spec.test_share is not None:
        test, why = spec.test_share, "Your setting"
    if validation_file:
        validation, why = 0.0, "Validation rows come from a separate file"
    if validation + test >= 1:
        what, given = "No rows would be left for training.", f"{validation:.0%} validation and {test:.0%} test"
        raise bad_setting(
            "validation_share", what, given, "fractions that add up to less than 100%, for example 10% and 5%"
        )
    train = 1 - validation - test
    parts = [f"train {train:.0%}"]
    parts += [f"validation {validation:.0%}"] if validation else []
    parts += [f"test {test:.0%}"] if test else []
    sentence = f"{why}: about {', '.join(parts)}."
    if not test and (validation or validation_file):
        sentence += " There is no test split, so Evaluate uses validation."
    return SplitFractions(validation, test, sentence)


def split(
    rows: Iterable[tuple[int, str, str]],
    spec: SplitSpec | None = None,
    *,
    validation_file: bool = False,
    file_splits: Mapping[int, str] | None = None,
) -> SplitAssignment:
    """Assign rows to splits. Each row is (number, text that decides, label or "").

    `file_splits` maps row numbers to the file's own split. Only rows that it assigns to train are split further.
    """
    spec = spec or SplitSpec()
    hashed = ((number, key_for(spec.seed, text), label) for number, text, label in rows)
    return assign_keyed(hashed, spec, validation_file, file_splits or {})


def assign_keyed(
    rows: Iterable[Keyed],
    spec: SplitSpec,
    validation_file: bool,
    file_splits: Mapping[int, str],
    known: Known = MappingProxyType({}),
) -> SplitAssignment:
    """Like `split`, for rows with hashed texts. Texts in `known` keep their split."""
    fixed: dict[int, SplitName] = {}
    rows_: list[Keyed] = []
    for row in rows:
        split_ = split_name(file_splits.get(row[0]))
        if split_ and split_ != "train":
            fixed[row[0]] = split_
        else:
            rows_.append(row)
    if fixed:
        return _with_file_splits(fixed, rows_, spec, validation_file, known)
    fractions = default_fractions(len(rows_), spec, validation_file=validation_file)
    has_known = any(key in known for _, key, _ in rows_) and fractions.validation + fractions.test > 0
    because = fractions.because + (" Earlier rows stay in their split." if has_known else "")
    division = make_assignment(_assign(rows_, fractions, spec, known), because)
    division.keyed = rows_
    return division


def _with_file_splits(
    fixed: dict[int, SplitName], rows_: list[Keyed], spec: SplitSpec, validation_file: bool, known: Known
) -> SplitAssignment:
    """Keep the file's own splits. If there is no validation split, take it from the training rows."""
    because = "The file has its own splits."
    splits: dict[int, SplitName] = {number: "train" for number, _, _ in rows_}
    tested = "test" in fixed.values()
    if not validation_file and "validation" not in fixed.values():
        usual = default_fractions(len(rows_), spec)
        carved = SplitFractions(usual.validation, 0.0 if tested else usual.test, "")
        splits = _assign(rows_, carved, spec, known)
        share = f"{usual.validation:.0%}"
        because += f" It has no validation split, so {share} of the training rows are used."
    elif not tested:
        because += " There is no test split, so Evaluate uses validation."
    division = make_assignment(dict(sorted((splits | fixed).items())), because)
    division.keyed = rows_
    return division


def key_for(seed: int, text: str) -> int:
    digest = hashlib.blake2b(f"{seed}\n{' '.join(text.split())}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest)


def _assign(rows_: Sequence[Keyed], fractions: SplitFractions, spec: SplitSpec, known: Known) -> dict[int, SplitName]:
    held_out_fraction = fractions.validation + fractions.test
    firsts: dict[int, str] = {}
    for _, key, label in rows_:
        firsts.setdefault(key, label)
    small = len(rows_) < SMALL
    known_held_out = (
        {key: known[key] for key in firsts if known.get(key, "train") != "train"} if held_out_fraction else {}
    )
    held_out = _held_out_keys(
        {key: label for key, label in firsts.items() if key not in known}, held_out_fraction, spec, small
    )
    new = dict(held_out)
    held_out |= dict.fromkeys(known_held_out)
    if fractions.validation:
        _hold_out_at_least(held_out, firsts, min(LEAST_VALIDATION if small else 1, len(firsts) - 1))
    tests = _test_keys(new, fractions.test / held_out_fraction, spec.stable_splits) if held_out_fraction else set()
    tests |= {key for key, split_ in known_held_out.items() if split_ == "test"}
    if fractions.validation and tests and len(tests) == len(held_out):  # of a few large groups
        tests.discard(min(tests))
    splits: dict[int, SplitName] = {}
    for number, key, _ in rows_:
        splits[number] = "train" if key not in held_out else "test" if key in tests else "validation"
    return splits


def assign_by_fractions(rows: Sequence[Keyed], fractions: SplitFractions, spec: SplitSpec) -> dict[int, SplitName]:
    """Return row number → split. Rows with one key stay together."""
    return _assign(rows, fractions, spec, {})


def _held_out_keys(firsts: Mapping[int, str], fraction: float, spec: SplitSpec, small: bool) -> dict[int, None]:
    """Return the texts held out from training, in file order."""
    totals: dict[str, int] = {}
    for label in firsts.values():
        totals[label] = totals.get(label, 0) + 1
    streams: dict[str, _Stream] = {}
    held_out: dict[int, None] = {}
    for key, label in firsts.items():
        if label not in streams:
            # rounding differs by label, because many small labels must not all round the same way
            offset = 0.5 if len(totals) == 1 else key_for(spec.seed, f"label {label}") / 2**64
            total = totals[label] if small else None
            streams[label] = _Stream(fraction, offset, total, keep_first=bool(label), by_hash=spec.stable_splits)
        if fraction and streams[label].hold_out(key / 2**64):
            held_out[key] = None
    return held_out


def _hold_out_at_least(held_out: dict[int, None], firsts: Mapping[int, str], least: int) -> None:
    """Hold out the texts with the lowest hash until there are enough, from the labels that have the most rows."""
    while len(held_out) < least:
        left: dict[str, list[int]] = {}
        for key, label in firsts.items():
            if key not in held_out:
                left.setdefault(label, []).append(key)
        fullest = max(left, key=lambda label: len(left[label]))
        held_out[min(left[fullest])] = None


def _test_keys(held_out: Mapping[int, None], fraction: float, by_hash: bool) -> set[int]:
    """Return the held-out texts for the test split. A second hash decides, so that both splits are alike."""
    stream = _Stream(fraction, 0.5, by_hash=by_hash)
    return {key for key in held_out if stream.hold_out(key_for(1, str(key)) / 2**64)} if fraction else set()


def make_assignment(splits: dict[int, SplitName], because: str) -> SplitAssignment:
    counts = {name: 0 for name in get_args(SplitName)}
    for split_ in splits.values():
        counts[split_] += 1
    return SplitAssignment(splits, SplitCounts(**counts, because=because))
