"""Labels judged and a learning curve drawn by the real starter: what was planted is found, and little else."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.api import Studio
from studio.data.formats import read
from studio.data.samples import sample_path
from studio.schema.augmentation import AugmentationRequest
from studio.schema.errors import StudioError
from studio.services.datasets.check_options import CheckOptions

FLIPPED = 16


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    opened = Studio(tmp_path / "home")
    yield opened
    opened.close()


def rows_with_wrong_labels(path: Path) -> set[int]:
    """Four intents that don't overlap; some rows get another one's label."""
    kept = ("track_order", "praise", "discount_code", "damaged_item")
    rows = [row for row in read(sample_path("intent-routing")).rows() if row["intent"] in kept]
    chance = random.Random(4)
    wrong = set(chance.sample(range(len(rows)), FLIPPED))
    column = next(name for name in rows[0] if name != "intent")
    lines = ["text\tlabel"]
    for number, row in enumerate(rows):
        label = chance.choice([each for each in kept if each != row["intent"]]) if number in wrong else row["intent"]
        lines.append(f"{row[column]}\t{label}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return {number + 1 for number in wrong}


def test_wrong_labels_are_found_told_fixed_and_taken_back(studio: Studio, tmp_path: Path) -> None:
    wrong = rows_with_wrong_labels(tmp_path / "intents.tsv")
    data = studio.datasets.add_file(tmp_path / "intents.tsv")
    assert "label-error" not in {each.kind for each in studio.checks.check(data.id).problems}
    moved: list[tuple[int, int]] = []
    found = studio.label_quality.judge(data.id, progress=lambda done, total, words: moved.append((done, total)))
    right = set(found) & wrong
    assert len(right) >= 0.5 * FLIPPED and len(right) >= 0.85 * len(found)
    assert moved
    [problem] = [each for each in studio.checks.check(data.id).problems if each.kind == "label-error"]
    assert problem.count == len(found) and problem.severity == "warning"
    shown = studio.datasets.checked_rows(data.id, only="label-error")
    assert shown.total == len(found)
    row = shown.rows[0][0]
    assert ("label-error", f"more like {found[row].likelier}") in shown.marks[row]
    fixed = studio.checks.fix(data.id, "label-error")
    assert fixed.version == 2 and fixed.rows == data.rows - len(found) and "label error" in fixed.note
    assert "label-error" not in {each.kind for each in studio.checks.check(data.id).problems}
    studio.versions.restore(data.id, 1)
    assert "label-error" in {each.kind for each in studio.checks.check(data.id).problems}


def test_the_curve_rises_with_the_rows_and_says_what_more_would_bring(studio: Studio) -> None:
    data = studio.datasets.add_sample("intent-routing")
    curve = studio.label_quality.curve(data.id)
    sizes = [point.rows for point in curve.points]
    assert sizes == sorted(sizes) and len(sizes) >= 4 and sizes[-1] + curve.held == data.rows
    assert curve.points[-1].score > curve.points[0].score + 0.2
    assert all(point.low <= point.score <= point.high for point in curve.points)
    assert curve.points[0].low < curve.points[0].high
    assert "Twice as many rows would add" in curve.sentence
    assert studio.label_quality.known_curve(data.id) == curve


def test_rows_without_labels_and_labels_that_nobody_can_tell_are_refused(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="has no labels"):
        studio.label_quality.curve(studio.datasets.add_sample("support-tone").id)
    chance = random.Random(1)
    lines = ["text,label"] + [f"word {number} and {chance.random()},{chance.choice('ab')}" for number in range(80)]
    (tmp_path / "noise.csv").write_text("\n".join(lines), encoding="utf-8")
    noise = studio.datasets.add_file(tmp_path / "noise.csv")
    with pytest.raises(StudioError, match="too few to find wrong labels"):
        studio.label_quality.judge(noise.id)
    assert not studio.label_quality.was_judged(noise.id)


def test_a_model_paraphrases_and_what_is_kept_is_learned_from_alone(studio: Studio) -> None:
    data = studio.datasets.add_sample("support-tone")
    made = studio.augmentation.propose(data.id, AugmentationRequest(way="paraphrase", count=5, model="starter-chat"))
    assert len(made.rows) + made.skipped == 5 and "starter-chat" in made.made_by
    for row in made.rows:
        assert row.after != row.before and studio.datasets.splits(data.id).validation
    if not made.rows:  # a small model is poor at it; then nothing dishonest was let through
        return
    studio.augmentation.decide(data.id, "kept")
    new = studio.augmentation.use(data.id)
    assert new.rows == data.rows + len(made.rows)
    assert studio.datasets.splits(data.id).validation == 42 and studio.datasets.splits(data.id).train == 238 + len(
        made.rows
    )


def test_every_row_is_looked_at_in_a_process_of_its_own_when_it_is_asked_for(studio: Studio) -> None:
    data = studio.datasets.add_sample("support-tone")
    studio.jobs.check(data.id, "chat", whole=True)
    assert studio.checks.is_cached(data.id, "chat", whole=True) and not studio.checks.is_cached(data.id, "chat")
    assert studio.checks.check(data.id, "chat", CheckOptions(whole=True)).usable == data.rows
