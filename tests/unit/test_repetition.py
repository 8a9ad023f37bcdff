"""Replies that say the same words again and again are named above the scores."""

import pytest

from studio.metrics.repetition import repeats
from studio.schema.report import JudgedRow, Report
from studio.ui.tabs.evaluate import cautions

LOOP = "Ich habe die Wasserkocher am besten. " * 4


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        (LOOP, True),
        ("von der Wand " * 6, True),
        ("", False),
        ("Garden & Outdoor", False),
        ("Your kettle left us on Monday and is with you by Friday. Your lamp left us on Tuesday.", False),
    ],
)
def test_a_text_that_repeats_four_words_three_times_is_a_loop(text: str, is_loop: bool) -> None:
    assert repeats(text) is is_loop


@pytest.mark.parametrize(
    ("base", "tuned", "expected", "named"),
    [
        ("Yes.", LOOP, "Wipe it.", True),
        (LOOP, LOOP, "Wipe it.", False),
        ("Yes.", "Wipe it with a cloth.", "Wipe it.", False),
        ("Yes.", LOOP, LOOP, False),
    ],
)
def test_a_report_names_loops_of_the_fine_tuned_model_alone(base: str, tuned: str, expected: str, named: bool) -> None:
    rows = tuple(
        JudgedRow(row=number, text="How?", expected=expected, base=base, tuned=tuned, score=0.1) for number in range(3)
    )
    drawn = cautions(
        Report(rows=20, split="test", metrics={}, verdict="Better.", worst_rows=rows, best_rows=rows), True
    )
    assert ("3 of 3 example replies say the same words again and again." in drawn) is named
