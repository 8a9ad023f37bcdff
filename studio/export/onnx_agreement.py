"""How well each file of an ONNX, OpenVINO or LiteRT export agrees with the studio: labels or replies, as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.export.agreement_check import (
    TOKENS,
    Answers,
    ReferenceAnswers,
    largest_difference,
    same_beginnings,
    same_replies,
)
from studio.export.child_process import run_step
from studio.inference.heads import head_of
from studio.schema.host import RunRef
from studio.schema.numbers import size

LEAST_LABELS = 0.9
"""Share of texts that must get the same label from an 8-bit file. Otherwise the file is deleted."""
LEAST_REPLIES = 0.5
"""Share of replies that must begin the same."""
NEAR_SCORE = 0.05
"""Scores are equal up to this share of the range of all scores."""


def answers_of(
    folder: Path, files: Sequence[str], run: RunRef, reference: ReferenceAnswers, python: Path | None = None
) -> dict[str, Any]:
    """Load each file in a new process, and give the answers and the speed of each. See `onnx_reload.answer`.

    `python` is that of the runtime. None: that of the studio.

    Raises:
        StudioError: `format-unavailable` if a file can't be loaded.
    """
    head = head_of(run.info, run.spec.data)
    task = {
        "folder": str(folder),
        "files": list(files),
        "head": head.name,
        "problem": head.problem,
        "prompts": reference.prompts,
        "tokens": TOKENS,
        "ends": reference.ends,
        "longest": run.spec.config.max_length,
    }
    failure = "The export failed its test: it can't be loaded. It was deleted."
    results: dict[str, Any] = run_step("onnx_reload.py:answer", task, failure, python)
    return results


def agreeing(reference: ReferenceAnswers, answers: Answers, problem: str) -> int:
    """Return how many answers agree: the same label or labels, nearly the same score, or the first words of a reply."""
    if not reference.labels:
        return same_beginnings(reference, answers)
    pairs = list(zip(reference.answers, answers, strict=True))
    if problem == "regression":
        values = [value for row in reference.answers for value in row]
        near = NEAR_SCORE * max(max(values) - min(values), abs(max(values)), abs(min(values)))
        return sum(abs(ours[0] - theirs[0]) <= near for ours, theirs in pairs)
    if problem:
        return sum([a >= 0.5 for a in ours] == [b >= 0.5 for b in theirs] for ours, theirs in pairs)
    if reference.labels == ("begin", "end"):
        return sum(_places(ours) == _places(theirs) for ours, theirs in pairs)
    return sum(_likeliest(ours) == _likeliest(theirs) for ours, theirs in pairs)


def is_good(reference: ReferenceAnswers, answers: Answers, problem: str) -> bool:
    """Return whether an 8-bit file agrees well enough to be exported."""
    least = LEAST_LABELS if reference.labels else LEAST_REPLIES
    return agreeing(reference, answers, problem) >= least * len(reference.answers)


def table(
    reference: ReferenceAnswers, results: dict[str, Any], sizes: dict[str, int], problem: str
) -> tuple[tuple[str, ...], ...]:
    """Return size, speed and agreement of each file, the head first."""
    count = len(reference.answers)
    if not reference.labels:
        head = ("File", "Size", "Speed", "Replies that begin the same", "Same replies")
        rows = [
            (
                name,
                size(sizes[name]),
                f"{result['speed']:.0f} tokens/s",
                f"{agreeing(reference, result['answers'], problem)} of {count}",
                f"{same_replies(reference, result['answers'])} of {count}",
            )
            for name, result in results.items()
        ]
        return (head, *rows)
    head = ("File", "Size", "Speed", "Same scores" if problem == "regression" else "Same labels", "Largest difference")
    return (
        head,
        *(
            (
                name,
                size(sizes[name]),
                f"{result['speed']:.0f} texts/s",
                f"{agreeing(reference, result['answers'], problem)} of {count}",
                f"{largest_difference(reference, result['answers']):.4f}",
            )
            for name, result in results.items()
        ),
    )


def _likeliest(shares: Sequence[float]) -> int:
    return max(range(len(shares)), key=lambda place: shares[place])


def _places(shares: Sequence[float]) -> tuple[int, int]:
    half = len(shares) // 2
    return _likeliest(shares[:half]), _likeliest(shares[half:])
