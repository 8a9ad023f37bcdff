"""A plugin of Fine-tune Studio with one object of each kind. Its tab is in tab.py, since it imports gradio."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.data.checks.base import Check, RowView
from studio.data.columnar import Builder
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.table import Table
from studio.export.base import ExportJob
from studio.export.merged import Merged
from studio.schema.config import TrainingConfig
from studio.schema.dataset import Problem
from studio.schema.models import ModelInfo
from studio.services.runners import LocalRunner
from studio.tasks.base import Encoding, Role, Row, Turn
from studio.tasks.chat import Chat
from studio.training.methods.layers import head_modules
from studio.training.methods.lora import LoRA

INSTRUCTION = "Write a limerick about the subject."


class Limerick(Chat):
    """A limerick about a subject."""

    name = "limerick"
    title = "Write limericks"
    sentence = "Turn a subject into five lines."
    term = "Instruction tuning (SFT) with a fixed instruction"
    sample_in = "a cat in Kilkenny"
    sample_out = "There once was a cat in Kilkenny …"
    roles: tuple[Role, ...] = (
        Role("prompt", "Subject", "What the limerick is about.", True, ("subject",)),
        Role("reply", "Limerick", "The five lines.", True, ("limerick",), "reply"),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("prompt", "reply"),)
    example_roles: tuple[str, ...] = ("prompt", "reply")
    example_rows: tuple[tuple[str, ...], ...] = (("a cat in Kilkenny", "There once was a cat …"),)
    example_note = ""
    reads_as = "each row is a subject and its limerick."
    labeling = ""

    def turns(self, row: Row, roles: Mapping[str, str], system_prompt: str = "") -> list[dict[str, Any]]:
        """The conversation, with an instruction as the system message unless the run has a system prompt."""
        return super().turns(row, roles, system_prompt or INSTRUCTION)

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[dict[str, Any]]:
        """A subject with the same system message."""
        return super().model_input(prompt, replace(encoding, system_prompt=encoding.system_prompt or INSTRUCTION))


class QueryLoRA(LoRA):
    """LoRA with one fixed target: the query projections."""

    name = "query-lora"
    title = "LoRA on queries"
    sentence = "Only the queries of attention get an adapter. Choose it to see how little is enough."
    term = "low-rank adaptation of the query projections"
    settings = ("lora_rank", "lora_alpha", "lora_dropout")
    shape = ("lora_rank", "lora_alpha")
    lighter = ""
    cost = 0.8

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """Two matrices in each layer."""
        return model.layers * config.lora_rank * 2 * model.hidden

    def variant(self, model: Any, config: TrainingConfig) -> dict[str, Any]:
        """The names of the query projections, without those of a new head."""
        heads = tuple(f"{name}." for name in head_modules(model))
        names = [name for name, _ in model.named_modules() if name.endswith(("q_proj", ".query"))]
        return {"target_modules": [name for name in names if not name.startswith(heads or "\0")]}


class MergedFloat16(Merged):
    """The merged model with all weights in float16."""

    format = "merged-float16"
    title = "Merged model in float16"
    sentence = "Half the size, for GPUs without bfloat16."
    exact = False

    def write(self, job: ExportJob, to: Path) -> None:
        """Write the merged model, then its weights again in float16."""
        import torch
        from safetensors.torch import load_file, save_file

        super().write(job, to)
        for path in to.glob("*.safetensors"):
            weights = {name: weight.to(torch.float16) for name, weight in load_file(path).items()}
            save_file(weights, path, metadata={"format": "pt"})


class Shouting(Check):
    """Rows that are written in capital letters."""

    kind = "shouting"

    def visit(self, view: RowView) -> None:
        """Note a row with a long text in capital letters."""
        if any(len(text) > 10 and text.isupper() for text in view.texts):
            self.row_numbers.append(view.number)

    def problems(self) -> list[Problem]:
        """One note about all rows."""
        if not self.row_numbers:
            return []
        message = f"{len(self.row_numbers):,} rows are written in capital letters."
        return [self.problem("note", message, "The model would shout, too.", "Leave them out")]


class Gentle(LocalRunner):
    """Runs on this machine at the lowest priority."""

    name = "gentle"
    title = "This machine, gently"
    sentence = "At the lowest priority, so that other programs stay fast."

    def reconcile(self) -> None:
        """Lower the priority of the workers of its runs."""
        super().reconcile()
        for entry in self.queue.listing():
            if entry.pid and self.home.workspace(entry.workspace).runs.spec(entry.run).runner == self.name:
                os.setpriority(os.PRIO_PROCESS, entry.pid, 19)


def _read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    builder = Builder(name, "pipes", limits, encoding="utf-8", delimiter="|")
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    builder.set_columns(header.split("|"))
    for line in lines:
        builder.add(line.split("|"))
    return builder.table()


PIPES = Format("pipes", "Pipes between cells", (".psv",), _read)
