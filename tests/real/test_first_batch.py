"""The first batch that is shown is the one that training reads: token for token, padding included."""

from pathlib import Path
from typing import Any

import pytest
from small_trainings import chat_job, label_job, tiny_bert, tiny_llama

from studio.training.loop.first_batch import first_batch
from studio.training.loop.run import StopNow, TrainingJob, build_run

NUMBERS = range(101, 1000)


def quiet(done: int, total: int) -> None:
    """Nobody listens."""


def read_by_training(job: TrainingJob) -> dict[str, Any]:
    """What the first step of the run is given; the run ends there."""
    run, given = build_run(job, quiet), {}

    def step(model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        given.update({name: value.tolist() for name, value in inputs.items()})
        raise StopNow("discard")

    run.trainer.training_step = step
    assert run.learn() == "discard"
    return given


@pytest.mark.parametrize("grouped", [True, False])
def test_a_chat_batch_is_the_one_that_the_first_step_gets(tmp_path: Path, grouped: bool) -> None:
    info = tiny_llama(tmp_path / "base")
    settings = {"batch_size": 4, "group_by_length": grouped, "gradient_accumulation": 2}
    batch = first_batch(chat_job(tmp_path / "shown", info, rows=30, held=0, **settings), NUMBERS[:30], quiet)
    given = read_by_training(chat_job(tmp_path / "run", info, rows=30, held=6, **settings))
    assert len(batch.rows) == len(given["input_ids"]) == 4 and batch.at_once == 2 and batch.steps == 8
    for line, ids, mask, labels in zip(
        batch.rows, given["input_ids"], given["attention_mask"], given["labels"], strict=True
    ):
        real = sum(mask)
        assert [token.id for token in line.tokens] == ids[:real] and line.padding == len(ids) - real
        assert [token.learned for token in line.tokens] == [label != -100 for label in labels[:real]]
        assert batch.width == len(ids)
    assert any(line.padding for line in batch.rows)


def test_each_line_names_its_row(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), rows=20, held=0, batch_size=5)
    for line in first_batch(job, NUMBERS[:20], quiet).rows:
        assert line.row is not None
        row = job.train_rows[line.row - 101]
        assert row["answer"].strip()[:20] in "".join(token.text for token in line.tokens)


def test_rows_that_teach_nothing_do_not_shift_the_numbers(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), rows=20, held=0, batch_size=19, max_length=64)
    long = {"question": "word " * 90, "answer": "Never seen."}
    job = TrainingJob(**{**vars(job), "train_rows": [long, *job.train_rows[1:]]})
    lines = first_batch(job, NUMBERS[:20], quiet).rows
    assert 101 not in {line.row for line in lines} and len(lines) == 19
    for line in lines:
        assert line.row and job.train_rows[line.row - 101]["question"][:12] in "".join(t.text for t in line.tokens)


def test_a_batch_of_labelled_texts_shows_its_labels(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    job = label_job(tmp_path / "shown", info, held=0, batch_size=8)
    batch = first_batch(job, NUMBERS[: len(job.train_rows)], quiet)
    given = read_by_training(label_job(tmp_path / "run", info, batch_size=8))
    assert [len(line.tokens) + line.padding for line in batch.rows] == [len(ids) for ids in given["input_ids"]]
    for line, ids, label in zip(batch.rows, given["input_ids"], given["labels"], strict=True):
        assert [token.id for token in line.tokens] == ids[: len(line.tokens)]
        assert line.label == job.data.label_names[label] and not any(token.learned for token in line.tokens)
