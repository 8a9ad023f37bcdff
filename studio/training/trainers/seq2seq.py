"""Text to text with a model that reads and writes: transformers' Seq2SeqTrainer."""

from contextlib import nullcontext
from typing import Any

import numpy as np
from transformers import DataCollatorForSeq2Seq, GenerationConfig, Seq2SeqTrainer, Seq2SeqTrainingArguments

from studio.inference.generate import PLAINLY, begins, end_tokens, plain_model
from studio.metrics import answers
from studio.metrics.texts import observe
from studio.tasks.base import IGNORE_INDEX
from studio.tasks.question_answering import NO_ANSWER
from studio.training.distributed.fsdp import is_sharded, whole
from studio.training.distributed.processes import processes
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of

WRITTEN = 24
"""Validation rows that are answered at each check: writing takes far longer than reading."""


class WritingTrainer(StudioTrainer, Seq2SeqTrainer):
    """transformers' trainer, with our order of rows, checkpoints and optimizer."""

    _answered = 0
    generation: Any = None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """With our way to write, which the model itself need not keep."""
        return super().evaluate(*args, generation_config=self.generation, **kwargs)

    def weight_of(self, inputs: Any) -> int:
        """Validation loss is by token."""
        return int((inputs["labels"] != IGNORE_INDEX).sum())

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """All rows are read, the first of them answered."""
        self._answered = 0
        return super().evaluation_loop(*args, **kwargs)

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, *args: Any, **kwargs: Any) -> Any:
        answers = self._answered < WRITTEN
        self._answered += len(inputs["input_ids"]) * processes()
        with whole(model) if answers and is_sharded(model) else nullcontext():  # not layer by layer for every word
            return super().prediction_step(model, inputs, prediction_loss_only or not answers, *args, **kwargs)


def build(parts: Parts) -> WritingTrainer:
    """A trainer over encoded rows."""
    tokenizer, model = parts.encoding.tokenizer, parts.model
    pad = tokenizer.pad_token_id
    generation = GenerationConfig(
        max_new_tokens=parts.config.answer_length,
        do_sample=False,
        pad_token_id=pad,
        **PLAINLY,
        eos_token_id=sorted(end_tokens(plain_model(model), tokenizer)) or None,
        **begins(plain_model(model)),
    )

    def judge(prediction: Any) -> dict[str, float]:
        said, expected = (
            tokenizer.batch_decode(np.where(ids < 0, pad, ids), skip_special_tokens=True)
            for ids in (prediction.predictions, prediction.label_ids)
        )
        right = [[] if each.strip() == NO_ANSWER else [each] for each in expected]
        told = ["" if each.strip() == NO_ANSWER else each for each in said]
        return parts.measure({**observe(said, expected), **answers.observe(told, right)})

    trainer = WritingTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(**arguments(parts), predict_with_generate=True),
        data_collator=DataCollatorForSeq2Seq(tokenizer, plain_model(model), label_pad_token_id=IGNORE_INDEX),
        train_dataset=dataset_of(parts.train),
        eval_dataset=dataset_of(parts.validation) if parts.validation else None,
        processing_class=tokenizer,
        compute_metrics=judge,
        callbacks=[parts.callback],
    )
    trainer.generation = generation
    # Their forward takes **kwargs and does not divide its loss by num_items_in_batch: see classification.py.
    trainer.model_accepts_loss_kwargs = False
    return trainer
