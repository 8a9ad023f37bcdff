"""The model, its tokenizer and the encoded rows that a run begins with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import encoding_of
from studio.inference.heads import Head, head_of
from studio.inference.load import ADAPTER_WEIGHTS, load_base, load_full, load_tokenizer, weights_folder
from studio.models.loading_rules import check_trust, loading_arguments
from studio.schema.config import WHOLE, TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.models import BASE_KEYS, ModelInfo
from studio.tasks import Encoding, Example, Row, Task, task_named
from studio.training.methods import Method

REPORT_EVERY = 500
"""Rows between two words on how far reading is."""


@dataclass(frozen=True)
class TrainingJob:
    """All that a run needs, every value filled in."""

    config: TrainingConfig
    info: ModelInfo
    """Its `path` is the folder with the weights."""
    data: DatasetSpec
    train_rows: Sequence[Row]
    validation_rows: Sequence[Row]
    folder: Path
    """The run's folder: checkpoints/, adapter/ or model/ are written there."""
    threads: int
    """Threads to begin with."""
    begins_with: Path | None = None
    """An earlier run's adapter, or its whole model, whose weights this run goes on from."""
    trusted: bool = False
    """The owner allowed code of the repository, or pickled weights, for this model."""
    kept: Path | None = None
    """Where rows are kept as tokens, for a later run on the same rows."""
    ends: bool = False
    """Take no step more: what a checkpoint holds is to become the result."""
    disk_left: Callable[[], int | None] | None = None
    """Bytes that the run may still write; None for as many as the disk has room for."""


def on_disk(job: TrainingJob) -> tuple[tuple[str, int, int], ...]:
    """The files that a run begins with, by what changes when somebody puts others in their place."""
    folders = [Path(job.info.path or "."), *([job.begins_with] if job.begins_with else [])]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir()) if file.is_file()]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def encoding_for(job: TrainingJob) -> Encoding:
    """How rows become tokens: what preview, training and chat share."""
    return encoding_of(job.info, load_tokenizer(job.info, job.trusted), job.data, job.config)


def load_model(job: TrainingJob, method: Method, head: Head | None = None) -> Any:
    """The base in the precision of the run, or in fewer bits."""
    head = head or head_of(job.info, job.data)
    if job.begins_with is not None and method.result == "model":
        return load_full(job.info, job.begins_with, job.config.precision, head, job.trusted)
    if not method.quantised:
        return load_base(job.info, job.config.precision, head, job.trusted)
    import torch
    from transformers import BitsAndBytesConfig

    check_trust(job.info, job.trusted)
    dtype = getattr(torch, job.config.precision)
    model = head.model_class().from_pretrained(
        weights_folder(job.info),
        dtype=dtype,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=job.config.quantisation == "4-bit",
            load_in_8bit=job.config.quantisation == "8-bit",
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
        # Once asked for an answer, bitsandbytes repacks a layer on a CPU for good, and no gradient passes any more.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    model.requires_grad_(False)
    return model


def ready_model(job: TrainingJob, method: Method, head: Head) -> Any:
    """The base as the method makes it ready to learn, with the noise and the dropout that were asked for."""
    from torch.nn import Dropout

    from studio.training.losses.neftune import add_noise

    config = job.config
    model = method.wrap(load_model(job, method, head), config)
    if job.begins_with is not None and method.result == "adapter":
        take_weights(model, job.begins_with)
    add_noise(model, config.neftune_alpha)
    if config.dropout is not None and config.method in WHOLE:
        for part in model.modules():
            if isinstance(part, Dropout):
                part.p = config.dropout
    return model


def name_base(folder: Path, info: ModelInfo) -> None:
    """Have the settings of a saved model name its base by Hub id, not by a folder of this machine. A base that is a
    folder keeps its path, since nothing else finds it again; archives and exports are cleaned of it.

    In the file alone: peft would ask the Hub for a base of that name whenever it saves a checkpoint.
    """
    for path in folder.glob("*config.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        named = {key: info.hub_id or str(info.path) for key in BASE_KEYS if told.get(key)}
        if named:
            path.write_text(json.dumps({**told, **named}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def take_weights(model: Any, folder: Path) -> None:
    """The weights of an earlier adapter into a new one of the same shape, in the new one's number formats."""
    from peft import set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: Any = set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _other_adapter(str(error).splitlines()[0]) from error
    if found.unexpected_keys:
        raise _other_adapter(f"{len(found.unexpected_keys)} of its weights have no place here")


def _other_adapter(given: str) -> StudioError:
    return StudioError(
        "bad-setting",
        "The adapter that this run should begin with does not fit its base model.",
        given=given,
        valid="an adapter of the same base, method and shape",
        field="start_from",
    )


def encode_rows(
    task: Task, rows: Sequence[Row], encoding: Encoding, on_progress: Callable[[int], None]
) -> list[Example]:
    """Rows as the model gets them; those of which nothing would be learned are left out."""
    examples: list[Example] = []
    for number, row in enumerate(rows, start=1):
        examples += [replace(each, row=number) for each in task.examples(row, encoding) if each.teaches]
        if number % REPORT_EVERY == 0 or number == len(rows):
            on_progress(number)
    return examples


def require_examples(examples: Sequence[Example], rows: Sequence[Row], config: TrainingConfig) -> None:
    """Refuse when nothing is left to learn from.

    Raises `too-few-rows`. Whether a model points at answers or writes them is not known here: of tasks where it may do
    either both causes are told.
    """
    if examples:
        return
    given = f"{len(rows):,} rows, the longest row set to {config.max_length} tokens"
    if hasattr(task_named(config.task), "points_nowhere"):
        raise StudioError(
            "too-few-rows",
            "Nothing is left to learn from: no row's answer stands in its passage, where a model that reads would "
            "point at it; or, for a model that writes, each lies beyond the longest row.",
            given=given,
            valid="answers in the words of their passages, or a model that writes and rows long enough for it",
            hint="The check names such rows: answer-not-found.",
        )
    raise StudioError(
        "too-few-rows",
        "Nothing is left to learn from: in every row the reply lies beyond the longest row.",
        given=given,
        hint="Allow longer rows.",
        field="max_length",
    )
