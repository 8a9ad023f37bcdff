"""Text-to-text training with encoder–decoder models: transformers' Seq2SeqTrainer."""

from contextlib import nullcontext
from typing import Any

import numpy as np
from transformers import DataCollatorForSeq2Seq, GenerationConfig, Seq2SeqTrainer, Seq2SeqTrainingArguments

from studio.inference.generate import NEUTRAL_GENERATION, decoder_start, end_tokens, plain_model
from studio.metrics import answers
from studio.metrics.texts import observe
from studio.tasks.base import IGNORE_INDEX
from studio.tasks.question_answering import NO_ANSWER
from studio.training.distributed.fsdp import is_sharded, unsharded
from studio.training.distributed.processes import world_size
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of, trainer_arguments

GENERATED_ROWS = 24
"""Number of validation rows with generated answers, since generation takes far longer than the loss."""


class TextToTextTrainer(StudioTrainer, Seq2SeqTrainer):
    """transformers' trainer with our row order, checkpoints and optimizer."""

    weights_rows = False
    _answered = 0
    generation: Any = None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Validate with our generation config, which the model itself does not store."""
        return super().evaluate(*args, generation_config=self.generation, **kwargs)

    def weight_of(self, inputs: Any) -> int:
        """Validation loss is a mean over tokens."""
        return int((inputs["labels"] != IGNORE_INDEX).sum())

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss for all rows, and generate answers for the first ones."""
        self._answered = 0
        return super().evaluation_loop(*args, **kwargs)

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, *args: Any, **kwargs: Any) -> Any:
        generates = self._answered < GENERATED_ROWS
        self._answered += len(inputs["input_ids"]) * world_size()
        # Gathered once, not for every generated token.
        with unsharded(model) if generates and is_sharded(model) else nullcontext():
            return super().prediction_step(model, inputs, prediction_loss_only or not generates, *args, **kwargs)


def build(parts: Parts) -> TextToTextTrainer:
    """A trainer over encoded rows."""
    tokenizer, model = parts.encoding.tokenizer, parts.model
    pad = tokenizer.pad_token_id
    generation = GenerationConfig(
        max_new_tokens=parts.config.answer_length,
        do_sample=False,
        pad_token_id=pad,
        **NEUTRAL_GENERATION,
        eos_token_id=sorted(end_tokens(plain_model(model), tokenizer)) or None,
        **decoder_start(plain_model(model)),
    )

    def compute_metrics(prediction: Any) -> dict[str, float]:
        predictions, expected = (
            tokenizer.batch_decode(np.where(ids < 0, pad, ids), skip_special_tokens=True)
            for ids in (prediction.predictions, prediction.label_ids)
        )
        accepted = [[] if each.strip() == NO_ANSWER else [each] for each in expected]
        predicted_answers = ["" if each.strip() == NO_ANSWER else each for each in predictions]
        return parts.measure({**observe(predictions, expected), **answers.observe(predicted_answers, accepted)})

    trainer = TextToTextTrainer(
        **trainer_arguments(parts, dataset_of),
        args=Seq2SeqTrainingArguments(**arguments(parts), predict_with_generate=True),
        data_collator=DataCollatorForSeq2Seq(tokenizer, plain_model(model), label_pad_token_id=IGNORE_INDEX),
        compute_metrics=compute_metrics,
    )
    trainer.generation = generation
    # Their forward accepts **kwargs and does not divide the loss by num_items_in_batch: see classification.py.
    trainer.model_accepts_loss_kwargs = False
    return trainer
