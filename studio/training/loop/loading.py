"""Loads the model, the tokenizer and the encoded rows of a run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import encoding_of
from studio.inference.heads import Head, head_of
from studio.inference.load import ADAPTER_WEIGHTS, load_base, load_full, load_tokenizer, weights_folder
from studio.models.loading_rules import check_trust, loading_arguments
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError, bad_setting
from studio.schema.models import BASE_KEYS, ModelInfo
from studio.tasks import Encoding, Example, Row, Task, task_named
from studio.training.methods.base import Method

REPORT_EVERY = 500
"""Rows between two progress reports while reading."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a run needs, with all values filled in."""

    config: TrainingConfig
    info: ModelInfo
    """Its `path` is the folder with the weights."""
    data: DatasetSpec
    train_rows: Sequence[Row]
    validation_rows: Sequence[Row]
    folder: Path
    """The run's folder. Checkpoints, the adapter or the model are written there."""
    threads: int
    """Number of threads at the start."""
    start_weights: Path | None = None
    """An earlier run's adapter or model, from whose weights this run starts."""
    trusted: bool = False
    """The owner trusts the model's code or pickled weights."""
    token_cache: Path | None = None
    """The cache of tokenized rows."""
    finalize_only: bool = False
    """Take no more steps: the checkpoint becomes the result."""
    disk_left: Callable[[], int | None] | None = None
    """Bytes that the run may still write. None for no limit but the disk."""


def input_files(job: TrainingJob) -> tuple[tuple[str, int, int], ...]:
    """(path, size, modification time) of the files that a run reads at its start. They change when the files are
    replaced."""
    folders = [Path(job.info.path or "."), *([job.start_weights] if job.start_weights else [])]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir()) if file.is_file()]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def encoding_for(job: TrainingJob) -> Encoding:
    """The encoding of rows, shared by preview, training and chat."""
    return encoding_of(job.info, load_tokenizer(job.info, job.trusted), job.data, job.config)


def load_model(job: TrainingJob, method: Method, head: Head | None = None) -> Any:
    """The base model in the precision of the run, or quantized."""
    head = head or head_of(job.info, job.data)
    if job.start_weights is not None and method.trains_base_weights:
        return load_full(job.info, job.start_weights, job.config.precision, head, job.trusted)
    if not method.quantized:
        return load_base(job.info, job.config.precision, head, job.trusted)
    import torch
    from transformers import BitsAndBytesConfig

    check_trust(job.info, job.trusted)
    dtype = getattr(torch, job.config.precision)
    model = head.model_class().from_pretrained(
        weights_folder(job.info),
        dtype=dtype,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=job.config.quantization == "4-bit",
            load_in_8bit=job.config.quantization == "8-bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=["lm_head", "score", "classifier", "qa_outputs"],
        ),
        device_map={"": "cuda:0" if torch.cuda.is_available() else "cpu"},
        **loading_arguments(job.trusted),
        **head.arguments,
    )
    for layer in model.modules():
        # After an inference call, bitsandbytes repacks a layer on a CPU permanently, and gradients no longer pass.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    model.requires_grad_(False)
    return model


def prepare_model(job: TrainingJob, method: Method, head: Head) -> Any:
    """The base model prepared by the method, with the noise and the dropout of the settings."""
    from torch.nn import Dropout

    from studio.training.losses.neftune import add_noise

    config = job.config
    model = method.wrap(load_model(job, method, head), config)
    if job.start_weights is not None and not method.trains_base_weights:
        load_adapter_weights(model, job.start_weights)
    add_noise(model, config.neftune_alpha)
    if config.dropout is not None and method.trains_base_weights:
        for part in model.modules():
            if isinstance(part, Dropout):
                part.p = config.dropout
    return model


def set_base_model(folder: Path, info: ModelInfo) -> None:
    """Replace the base model's folder in the settings of a saved model by its Hub id. A base model without a Hub id
    keeps its path, and archives and exports remove it.

    Only the file is changed. If the model in memory had the Hub id, peft would contact the Hub with each checkpoint.
    """
    for path in folder.glob("*config.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        named = {key: info.hub_id or str(info.path) for key in BASE_KEYS if settings.get(key)}
        if named:
            path.write_text(json.dumps({**settings, **named}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_adapter_weights(model: Any, folder: Path) -> None:
    """Load an earlier adapter's weights into a new adapter of the same shape. The number formats of the new one
    stay."""
    from peft import set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        result: Any = set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _adapter_mismatch(str(error).splitlines()[0]) from error
    if result.unexpected_keys:
        raise _adapter_mismatch(f"{len(result.unexpected_keys)} of its weights do not exist in this model")


def _adapter_mismatch(given: str) -> StudioError:
    what = "The adapter that this run starts from does not fit its base model."
    return bad_setting("start_from", what, given, "an adapter of the same base model, method and shape")


def encode_rows(
    task: Task, rows: Sequence[Row], encoding: Encoding, on_progress: Callable[[int], None]
) -> list[Example]:
    """The encoded rows. Rows without a token to train on are left out."""
    examples: list[Example] = []
    for number, row in enumerate(rows, start=1):
        examples += [replace(each, row=number) for each in task.examples(row, encoding) if each.has_targets]
        if number % REPORT_EVERY == 0 or number == len(rows):
            on_progress(number)
    return examples


def require_examples(examples: Sequence[Example], rows: Sequence[Row], config: TrainingConfig) -> None:
    """Raise `too-few-rows` when no row is left to train on.

    Whether the model is extractive or generative is unknown here, so tasks with both kinds name both causes.
    """
    if examples:
        return
    description = f"{len(rows):,} rows, a maximum length of {config.max_length} tokens"
    if hasattr(task_named(config.task), "answer_not_in_passage"):
        raise StudioError(
            "too-few-rows",
            "No training row is left. An encoder learns only from answers that are in the passage. "
            "A generative model learns only from answers within the maximum length.",
            given=description,
            valid="answers in the words of their passages, within the maximum length",
            hint="Look at the rows that the data check answer-not-found lists.",
        )
    raise StudioError(
        "too-few-rows",
        "No training row is left: in every row, the reply begins beyond the maximum length.",
        given=description,
        hint="Raise the maximum length.",
        field="max_length",
    )
