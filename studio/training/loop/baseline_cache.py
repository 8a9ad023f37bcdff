"""A disk cache of what a base model answered before training: its validation, and its replies to test prompts.

Another run on the same rows uses it, with another method too. The key is a hash of everything that the values depend
on. The files are in the folder of cached tokens and are deleted with it.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from studio.tasks import Example
from studio.training.batching.token_cache import ENCODING_VERSION, library_versions
from studio.training.loop.loading import TrainingJob, input_files
from studio.training.methods.base import Method

BASELINE_VERSION = 1
"""Increase it by one when a change gives other values for the same model and rows."""
MOST_FILES = 100
"""Maximum number of files. The least recently used ones are deleted first."""
SUFFIX = ".baseline"
STEP_SETTINGS = frozenset(
    "name preset epochs max_steps max_minutes learning_rate gradient_accumulation scheduler warmup_share "
    "optimizer loraplus_ratio layer_decay head_first neftune_alpha weight_decay max_grad_norm test_prompts "
    "watch_share eval_steps early_stopping_patience keep_best mirror".split()
)
"""Settings that affect only training steps. What the base model answers does not depend on them."""
ROW_SETTINGS = frozenset(
    "validation_share test_share group_column time_column split_column stable_splits replay replay_from "
    "eval_rows group_by_length batch_size gradient_checkpointing threads".split()
)
"""Settings that choose and arrange rows. The encoded rows themselves are in the key."""
METHOD_SETTINGS = frozenset(
    "method quantization lora_rank lora_alpha lora_dropout lora_targets dropout last_layers frozen_layers".split()
)
"""Settings of methods that change nothing before the first step."""


class BaselineCache:
    """The cache in a folder. Without a folder, nothing is cached."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, key: Any) -> dict[str, Any] | None:
        """The values of a key, or None."""
        import torch

        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            os.utime(path)
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError):  # missing or incomplete
            return None
        return values

    def save(self, key: Any, values: Mapping[str, Any]) -> None:
        """Write the values atomically. Without disk space, nothing is cached."""
        import torch

        if self._folder is None:
            return
        path = self._path(self._folder, key)
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            torch.save(dict(values), temporary)
            temporary.replace(path)
            self._prune(self._folder)
        except (OSError, RuntimeError):  # torch reports a full disk with an error of its own
            temporary.unlink(missing_ok=True)

    def _path(self, folder: Path, key: Any) -> Path:
        import torch

        versions = [*library_versions(), f"torch {torch.__version__}"]
        text = json.dumps([BASELINE_VERSION, ENCODING_VERSION, versions, key], sort_keys=True, default=str)
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()}{SUFFIX}"

    def _prune(self, folder: Path) -> None:
        files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda each: -each.stat().st_mtime)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def weights_key(job: TrainingJob, method: Method) -> list[Any]:
    """The weights that a run starts from."""
    return [input_files(job), job.config.precision, job.config.quantization if method.quantized else ""]


def validation_key(
    job: TrainingJob, method: Method, seed_matters: bool, weighted_by: Sequence[Example], validation: Sequence[Example]
) -> list[Any]:
    """Everything that the validation before the first step depends on.

    `seed_matters`: the model has a new head with random weights. `weighted_by`: the training rows, if the loss of a
    validation row depends on them.
    """
    unused = STEP_SETTINGS | ROW_SETTINGS | (frozenset() if seed_matters else {"seed"})
    if not method.learns_virtual_tokens and job.start_weights is None:
        unused |= METHOD_SETTINGS
    settings = job.config.model_dump(mode="json", exclude=set(unused))
    rows = [[_content(each) for each in examples] for examples in (weighted_by, validation)]
    return ["validation", weights_key(job, method), settings, rows]


def replies_key(
    job: TrainingJob, method: Method, prompts: Sequence[Sequence[int]], sample: Sequence[Example]
) -> list[Any]:
    """Everything that the base model's replies to test prompts depend on. `sample`: the rows whose labels it uses."""
    names = list(job.data.label_names)  # rows have the numbers of their labels, and a reply has the names
    return ["replies", weights_key(job, method), names, list(prompts), [_content(each) for each in sample]]


def _content(example: Example) -> list[Any]:
    other = _content(example.other) if example.other else None
    return [example.input_ids, example.labels, example.liked, other, list(example.parts), example.types]
