"""What is told of the rows before the first step: how many are gone, and for which reason."""

from pathlib import Path

import pytest

from studio.inference.heads import TEXT, Head
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.events import ReadEvent
from studio.schema.models import ModelInfo
from studio.schema.settings_check import config_from
from studio.tasks import Example
from studio.training.loop.loading import TrainingJob, require_examples
from studio.training.planning.data_stats import read_event

ROWS = [{"question": f"What is {n}?"} for n in range(4)]


def read(task: str, trainer: str, head: Head, learned: list[Example]) -> ReadEvent:
    """What is told of four rows, of which these examples are left."""
    job = TrainingJob(
        config=config_from({"task": task, "model": "tiny"}),
        info=ModelInfo(name="tiny", title="Tiny", source="folder", kind="encoder"),
        data=DatasetSpec(task=task, roles={}),
        train_rows=ROWS,
        validation_rows=[],
        folder=Path(),
        threads=1,
    )
    return read_event(job, trainer, head, learned, validation_rows=0)


def test_rows_whose_answers_stand_nowhere_are_not_taken_for_rows_that_were_cut_off() -> None:
    """A long passage is read in pieces, so that none is lost to its length."""
    pieces = [Example([1, 2, 3], (1, 2), 5, goes_on=True, row=row) for row in (1, 1, 3)]
    assert read("question-answering", "spans", Head("spans"), pieces).lost == 0
    cut = [Example([1, 2, 3], [-100, 2, 3], 5, row=row) for row in (1, 3)]
    assert read("chat", "sft", TEXT, cut).lost == 2


@pytest.mark.parametrize(
    ("task", "said", "field"),
    [
        ("chat", "in every row, the reply begins beyond the maximum length", "max_length"),
        ("question-answering", "learns only from answers that are in the passage", ""),
    ],
)
def test_why_nothing_is_left_to_learn_is_told_as_the_task_has_it(task: str, said: str, field: str) -> None:
    config = config_from({"task": task, "model": "tiny"})
    require_examples([Example([1], [1], 1)], ROWS, config)
    with pytest.raises(StudioError) as caught:
        require_examples([], ROWS, config)
    assert caught.value.code == "too-few-rows" and said in caught.value.what and caught.value.field == field
    assert "4 rows" in str(caught.value.given) and caught.value.hint
