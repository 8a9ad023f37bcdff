"""The text of a script that repeats a run, or a notebook: the parts in recipe/ with the run's settings."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import precision_of
from studio.inference.heads import head_of
from studio.schema.host import RunRef, TrainingFacts
from studio.schema.trainer_settings import trainer_settings

WIDTH = 100
"""Maximum length of a value on one line."""
LORA_FIELDS = (
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",
    "fan_in_fan_out",
    "use_rslora",
    "use_dora",
)
"""Settings of a LoRA adapter that the script repeats."""
HEADS_OF_PEFT = ("classifier", "score", "qa_outputs")
"""Heads that peft saves by itself."""
TEXT_IMPORTS = """import json
import os
import random
from pathlib import Path

import torch
from datasets import Dataset
{peft}from torch.optim.adamw import adamw
from torch.utils.data import DataLoader, Sampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer"""
LABEL_IMPORTS = """import json
import os
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from datasets import Dataset
{peft}{scores}from torch.optim.adamw import adamw
from torch.utils.data import DataLoader, Sampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)"""


@dataclass(frozen=True)
class Cell:
    """A part of the script: a text for people, or code."""

    text: str
    is_code: bool = True


def cells(run: RunRef, facts: TrainingFacts, name: str, token_types: bool) -> list[Cell]:
    """Return the parts of the script in their order. `name` is the run's name, `token_types` whether the tokens of two
    texts have different types."""
    task, adapter = run.spec.config.task, (Path(run.folder) / "adapter").exists()
    is_text = task != "classification"
    imports = (TEXT_IMPORTS if is_text else LABEL_IMPORTS).format(
        peft="from peft import LoraConfig, get_peft_model\n" if adapter else "",
        scores="from scipy.stats import pearsonr\nfrom sklearn.metrics import f1_score\n",
    )
    kind = "text" if is_text else "labels"
    return [
        Cell(f"# Repeat the run {json.dumps(name, ensure_ascii=False)}\n\n{INTRODUCTION}", is_code=False),
        Cell(imports),
        Cell("## Settings\n\nAll settings of the run, with the names of the libraries.", is_code=False),
        Cell(_settings(run, facts, adapter)),
        Cell("## Model", is_code=False),
        Cell(f"set_seed(SEED)\n{part(f'model_{kind}')}\n{part('adapter' if adapter else 'full')}"),
        Cell("## Rows\n\nRows become tokens as in the run.", is_code=False),
        Cell(part(task) + ("\n\n" + part("token_types") if token_types else "")),
        Cell(part("examples").replace("PAIR_COLUMN\n", PAIR_COLUMN if token_types else "")),
        Cell("## Order of the rows\n\nThe order depends on the seed and the epoch alone.", is_code=False),
        Cell(part("order")),
        Cell("## Training", is_code=False),
        Cell(part("optimizer")),
        Cell(part("validation")),
        Cell(part("trainer").replace("BASE_TRAINER", "SFTTrainer" if is_text else "Trainer")),
        Cell(part(f"train_{kind}")),
        Cell("## Result\n\nThe model is saved, and its losses are compared with those of the run.", is_code=False),
        Cell(part("save")),
        Cell(part("compare")),
    ]


PAIR_COLUMN = '    columns["token_type_ids"] = [token_types(ids) for ids, _ in pairs]\n'
INTRODUCTION = (
    "Uses transformers, peft, trl and datasets alone. Install them with `pip install -r requirements.txt`.\n"
    "The rows are in the folder `data`. The result is written to the folder `output`.\n\n"
    "Environment variables: `BASE_MODEL` is a folder with the base model, instead of its name on the Hub.\n"
    "`OUTPUT` is another folder for the result. `STOP_AFTER` ends training after some steps."
)


def part(name: str) -> str:
    """Return a part of the script from recipe/."""
    return files("studio.export").joinpath(f"recipe/{name}.txt").read_text(encoding="utf-8")


def as_script(parts: list[Cell]) -> str:
    """Return the parts as one Python file. Texts become its docstring and comments."""
    first, *others = parts
    title = first.text.removeprefix("# ").replace("\\", "\\\\").replace('"""', "'''")
    blocks = [f'"""{title}\n"""']
    for each in others:
        text = each.text.strip()
        blocks.append(text if each.is_code else "\n".join(f"# {line}".rstrip() for line in _comment_lines(text)))
    script = blocks[0]
    for cell, block in zip(others, blocks[1:], strict=True):
        starts_definition = block.startswith(("def ", "class "))
        script += "\n\n\n" if not cell.is_code or starts_definition or script.endswith(("    return", ")")) else "\n\n"
        script += block
    return script.replace("\n\n\n\n", "\n\n\n") + "\n"


def as_notebook(parts: list[Cell]) -> str:
    """Return the parts as a Jupyter notebook, in format 4.5."""
    notebook_cells: list[dict[str, Any]] = []
    for number, each in enumerate(parts):
        cell: dict[str, Any] = {
            "cell_type": "code" if each.is_code else "markdown",
            "id": f"cell-{number}",
            "metadata": {},
            "source": each.text.strip().splitlines(keepends=True),
        }
        notebook_cells.append({**cell, "execution_count": None, "outputs": []} if each.is_code else cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {
        "cells": notebook_cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _comment_lines(text: str) -> list[str]:
    return [line.lstrip("# ") for line in text.splitlines() if line.strip()]


def _settings(run: RunRef, facts: TrainingFacts, adapter: bool) -> str:
    config, info = run.spec.config, run.info
    validates = "validation" in facts.splits
    values: dict[str, Any] = {
        "SEED": config.seed,
        "MAX_LENGTH": config.max_length,
        "GROUP_BY_LENGTH": config.group_by_length and _pads(run, facts),
        "VALIDATE_EVERY": facts.validation_interval(config.eval_steps),
        "VALIDATION_ROWS": config.eval_rows,
        "PATIENCE": config.early_stopping_patience,
        "KEEP_BEST": config.keep_best,
        "BEST_METRIC": "",
        "PER_TOKEN": config.task != "classification",
    }
    if config.task == "classification":
        head = head_of(info, run.spec.data)
        values |= {
            "BEST_METRIC": "pearson" if head.problem == "regression" else "macro_f1",
            "LABELS": list(head.labels),
            "PROBLEM": head.problem,
            "DECODER": info.kind == "causal",
            "LABEL_SMOOTHING": config.label_smoothing,
            "BALANCE_LABELS": config.balance_labels,
        }
    if adapter:
        values["LORA"] = _lora(Path(run.folder) / "adapter" / "adapter_config.json")
    else:
        values["DROPOUT"] = config.dropout
    values["ARGUMENTS"] = {
        **trainer_settings(config, facts.steps),
        "gradient_checkpointing": config.gradient_checkpointing,
        "eval_on_start": validates,
        "report_to": "none",
    }
    lines = [
        'HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()',
        'OUTPUT = Path(os.environ.get("OUTPUT", HERE / "output"))',
        'STOP_AFTER = int(os.environ.get("STOP_AFTER", "0"))',
        f'BASE = os.environ.get("BASE_MODEL", {json.dumps(info.hub_id or info.title)})',
        _revision(info.revision),
        f"DTYPE = torch.{precision_of(run)}",
        *(f"{name} = {literal(value)}" for name, value in values.items()),
        "OUTPUT.mkdir(parents=True, exist_ok=True)",
    ]
    return "\n".join(lines)


def _revision(revision: str | None) -> str:
    return (
        f'REVISION = None if "BASE_MODEL" in os.environ else {json.dumps(revision)}' if revision else "REVISION = None"
    )


def literal(value: Any) -> str:
    """Return a value as Python code. Long lists and all objects have a line for each item."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "".join(["{\n", *(f"    {literal(key)}: {literal(item)},\n" for key, item in value.items()), "}"])
    if isinstance(value, list):
        items = [literal(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= WIDTH else "".join(["[\n", *(f"    {item},\n" for item in items), "]"])
    return repr(value)


def _pads(run: RunRef, facts: TrainingFacts) -> bool:
    """Return whether batches of the run were padded. In runs of earlier versions, this depends on the device."""
    if facts.padded is not None:
        return facts.padded
    import torch

    return run.spec.config.task == "classification" or torch.cuda.is_available()


def _lora(file: Path) -> dict[str, Any]:
    """Return the settings of the run's adapter, as `LoraConfig` takes them."""
    saved = json.loads(file.read_text(encoding="utf-8"))
    values = {name: saved[name] for name in LORA_FIELDS if saved.get(name) not in (None, False)}
    heads = [name for name in dict.fromkeys(values.get("modules_to_save") or ()) if name not in HEADS_OF_PEFT]
    targets = values["target_modules"]
    values["target_modules"] = sorted(targets) if isinstance(targets, list) else targets
    return {**values, "modules_to_save": heads or None}
