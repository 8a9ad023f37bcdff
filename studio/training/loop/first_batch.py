"""The first batch of a run, from the very trainer that the run would have: nothing is learned, nothing is kept.

What comes out has passed the run's own encoding, sampler and collator, so that it can't differ from what is trained on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.preview import pieces
from studio.schema.preview import Batch, BatchRow
from studio.schema.report import TokenView
from studio.tasks import Example, Row, Task
from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.sampler import batches_a_pass
from studio.training.loop.run import TrainingJob, prepared


def first_batch(job: TrainingJob, numbers: Sequence[int], on_rows: Callable[[int, int], None]) -> Batch:
    """The batch that the first step would read. `numbers` are the row numbers of the job's rows for training."""
    run = prepared(job, on_rows)
    trainer = run.trainer
    order = list(trainer._get_train_sampler())[: job.config.batch_size]
    loader = trainer.get_train_dataloader()
    batch = next(iter(loader))
    named = _numbers(run.task, run.encoding, run.learned, job.train_rows, numbers)
    ids, mask = batch["input_ids"].tolist(), batch["attention_mask"].tolist()
    lines = [
        _line(run.encoding.tokenizer, ids[at], mask[at], run.learned[place], named.get(place))
        for at, place in enumerate(order[: len(ids)])
    ]
    return Batch(
        rows=tuple(lines),
        width=len(ids[0]),
        steps=batches_a_pass(len(run.learned), job.config.batch_size, job.config.processes),
        at_once=job.config.gradient_accumulation,
        padded=bool(trainer.pads),
    )


def _line(tokenizer: Any, ids: list[int], mask: list[int], example: Example, number: int | None) -> BatchRow:
    """One line as the collator made it; what is learned of it as the row's own encoding says."""
    real = [token for token, there in zip(ids, mask, strict=True) if there]
    told = isinstance(example.labels, list) and not example.target
    labels = example.labels if told else [IGNORE_INDEX] * len(real)
    tokens = (
        TokenView(text=text, id=token, learned=label != IGNORE_INDEX)
        for text, token, label in zip(pieces(tokenizer, real), real, labels, strict=True)
    )
    return BatchRow(row=number, tokens=tuple(tokens), padding=len(ids) - len(real), label=example.label)


def _numbers(
    task: Task, encoding: Any, learned: Sequence[Example], rows: Sequence[Row], numbers: Sequence[int]
) -> dict[int, int]:
    """Place among the examples → number of the row that it was made of; none where rows share a line."""
    if len(learned) == len(rows):
        return dict(enumerate(numbers))
    made = [
        number
        for number, row in zip(numbers, rows, strict=True)
        for example in task.examples(row, encoding)
        if example.has_targets
    ]
    return dict(enumerate(made)) if len(made) == len(learned) else {}
