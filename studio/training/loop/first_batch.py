"""The first batch of a run, from the trainer that the run would use. Nothing is trained or saved.

It passes the run's own encoding, sampler and collator, so it equals the batch that is trained on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.preview import pieces
from studio.schema.preview import Batch, BatchRow
from studio.schema.report import TokenView
from studio.tasks import Example, Row, Task
from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.sampler import batches_per_epoch
from studio.training.loop.run import TrainingJob, build_run


def first_batch(job: TrainingJob, numbers: Sequence[int], on_rows: Callable[[int, int], None]) -> Batch:
    """The batch of the first step. `numbers` are the row numbers of the job's training rows."""
    run = build_run(job, on_rows)
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
        steps=batches_per_epoch(len(run.learned), job.config.batch_size, job.config.processes),
        at_once=job.config.gradient_accumulation,
        padded=bool(trainer.pads),
    )


def _line(tokenizer: Any, ids: list[int], mask: list[int], example: Example, number: int | None) -> BatchRow:
    """A row as the collator made it. Which tokens are trained comes from the row's own encoding."""
    tokens_without_padding = [token for token, real_token in zip(ids, mask, strict=True) if real_token]
    by_token = isinstance(example.labels, list) and not example.target
    labels = example.labels if by_token else [IGNORE_INDEX] * len(tokens_without_padding)
    tokens = (
        TokenView(text=text, id=token, learned=label != IGNORE_INDEX)
        for text, token, label in zip(
            pieces(tokenizer, tokens_without_padding), tokens_without_padding, labels, strict=True
        )
    )
    return BatchRow(
        row=number, tokens=tuple(tokens), padding=len(ids) - len(tokens_without_padding), label=example.label
    )


def _numbers(
    task: Task, encoding: Any, learned: Sequence[Example], rows: Sequence[Row], numbers: Sequence[int]
) -> dict[int, int]:
    """Index of an example → number of its row. Empty when rows are packed."""
    if len(learned) == len(rows):
        return dict(enumerate(numbers))
    row_numbers = [
        number
        for number, row in zip(numbers, rows, strict=True)
        for example in task.examples(row, encoding)
        if example.has_targets
    ]
    return dict(enumerate(row_numbers)) if len(row_numbers) == len(learned) else {}
