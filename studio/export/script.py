"""Export of a script or a notebook that repeats the run with transformers, peft and trl, without the studio."""

import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from studio.export import script_text
from studio.export.base import STEPS, Exporter, ExportJob, Phase, Progress, TestResult
from studio.export.card import escape, markdown_table
from studio.export.child_process import call_in_process, cause_of
from studio.export.folder import TAG, write_json
from studio.export.script_rows import SPLITS, ScriptRows, check_encoding
from studio.inference.base_and_tuned import result_folder
from studio.inference.heads import variant_of
from studio.inference.load import adapter_kind, weights_folder
from studio.inference.rows import read_rows
from studio.machine.facts import machine_facts
from studio.machine.run_in_process import ProcessError
from studio.schema.errors import StudioError
from studio.schema.host import RunRef, TrainingFacts
from studio.schema.numbers import memory
from studio.schema.report import Usage

TASKS = ("chat", "completion", "classification")
METHODS = ("lora", "rslora", "dora", "lora-embeddings", "full")
TESTED_STEPS = 1
"""Steps that the script trains in its test."""
TEST_SECONDS = 3600.0
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.02}
"""Precision → relative difference that the losses of the script and of the run may have. Rounding is smaller."""
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "jinja2")
MEASURED_ROWS = 20
"""Number of training rows from which the size of all rows is estimated."""


class Script(Exporter):
    """A Python script with the rows, the settings and the losses of the run."""

    format = "script"
    title = "Script"
    sentence = "Choose this to repeat the training without the studio. Python code and your rows."
    library = "transformers-script"
    extra_files = frozenset((".py", ".jsonl"))
    has_tokenizer_files = False
    needs_training_facts = True
    file = "train.py"
    code_bytes = 22_000
    """Size of the code, the README and the other files without rows, about."""

    def unavailable_reason(self, run: RunRef) -> str:
        """Runs can be repeated whose rows are here, and whose settings the libraries have."""
        if run.learned_from is None:
            return "The rows of this run are not on this machine any more, so it can't be repeated."
        unsupported = ", ".join(_unsupported(run))
        if unsupported:
            return f"A script without the studio can't repeat these settings of the run: {unsupported}."
        return ""

    def size(self, run: RunRef) -> int:
        """Return a rough size of the code and the training rows in bytes."""
        numbers = (run.learned_from.numbers or ()) if run.learned_from else ()
        if run.learned_from is None or not numbers:
            return self.code_bytes
        first = read_rows(run.learned_from.model_copy(update={"numbers": numbers[:MEASURED_ROWS]}))
        bytes_of_first = sum(len(json.dumps(row, ensure_ascii=False, default=str).encode()) for _, row in first)
        return self.code_bytes + bytes_of_first * len(numbers) // max(1, len(first))

    def write(self, job: ExportJob, to: Path) -> None:
        """Write the script, the rows, the chat template, the losses of the run, and the versions of the libraries."""
        facts = _facts(job)
        job.enter(Phase.WRITING, "Writing the rows")
        rows = ScriptRows(job.run, facts.splits)
        rows.write(to / "data")
        if rows.template:
            (to / "chat_template.jinja").write_text(rows.template, encoding="utf-8")
        name = job.facts.name or job.facts.run
        cells = script_text.cells(job.run, facts, name, rows.marks_second_text)
        (to / self.file).write_text(self.text(cells), encoding="utf-8")
        (to / "requirements.txt").write_text(requirements(job.run), encoding="utf-8")
        write_json(to / "run-losses.json", {"training": facts.training_losses, "validation": facts.validation_losses})

    def text(self, cells: list[script_text.Cell]) -> str:
        """Return the content of the file."""
        return script_text.as_script(cells)

    def snippet(self, run: RunRef, place: str) -> str:
        """Return the commands that repeat the run."""
        base = "" if run.info.hub_id else "BASE_MODEL=path/to/the/base/model "
        return f"cd {shlex.quote(place)}\npip install -r requirements.txt\n{base}python train.py\n"

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return the commands that repeat the run."""
        return (Usage(title="Terminal", language="sh", code=self.snippet(run, place).strip()),)

    def card(self, job: ExportJob, result: TestResult) -> str:
        """Return README.md: the base model, the files, and how to repeat the run."""
        info, facts = job.run.info, job.facts
        revision = f", revision `{info.revision}`" if info.revision else ""
        lines = [
            f"---\nlibrary_name: {self.library}\ntags:\n- {TAG}\n---",
            f"# Repeat the run {escape(facts.name or facts.run)}",
            f"`{self.file}` trains the same model again with transformers, peft and trl, without Fine-tune Studio.",
            f"Base model: {escape(info.hub_id or info.title)}{revision}. License: {escape(info.licence) or 'unknown'}.",
            *([escape(info.note)] if info.note else []),
            "| File | Contents |\n|---|---|\n"
            "| `data/` | The rows of the run, cleaned, in its splits. The test rows are not used by the code |\n"
            "| `run-losses.json` | The losses of the run. The code compares its own losses with them at the end |\n"
            "| `requirements.txt` | The versions of the libraries that trained the run |",
            f"```sh\n{self.snippet(job.run, 'path/to/this/folder').strip()}\n```",
            "`BASE_MODEL` can be a folder with the base model. `STOP_AFTER=2` ends training after two steps.",
            "The same libraries on the same kind of processor give the same losses. Other versions, or a GPU, give "
            "slightly different ones.",
            f"## Test of this export\n\n{result.tested}",
        ]
        if result.comparison:
            lines.append(markdown_table(result.comparison))
        return "\n\n".join(lines) + "\n"

    def test(self, job: ExportJob, stage: Path, progress: Progress) -> TestResult:
        """Compare the tokens of all rows, then train some steps in a new process and compare the losses."""
        progress(Phase.ANSWERING, STEPS, "Comparing the tokens of all rows")
        facts = _facts(job)
        rows = ScriptRows(job.run, facts.splits)
        plain = {split: _lines(stage / "data" / f"{split}.jsonl") for split in SPLITS}
        count = check_encoding(rows, _encode_function(job.run, rows, stage), plain)
        needed, available = job.run.spec.memory_bytes, machine_facts().memory_available
        if needed > available:
            job.model_cache.forget()
            available = machine_facts().memory_available
        if needed > available:
            return TestResult(
                f"The tokens of {count:,} rows are the same as in the run. The script was not run, because it needs "
                f"{memory(needed)} of memory and {memory(available)} are free."
            )
        progress(Phase.TESTING, STEPS, "Running the script for one step")
        losses = self.first_losses(job, stage)
        return _compared(losses, facts, count, job.run.spec.config.precision)

    def first_losses(self, job: ExportJob, stage: Path) -> dict[str, dict[str, float]]:
        """Run the script for some steps in a new process. Return its losses by kind and step.

        Raises:
            StudioError: `format-unavailable` if it fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "train.py"
            shutil.copytree(stage, folder, dirs_exist_ok=True)
            if self.file != script.name:
                script.write_text(code_of_notebook(Path(folder) / self.file), encoding="utf-8")
            task = {
                "script": str(script),
                "base": weights_folder(job.run.info),
                "output": str(Path(folder) / "output"),
                "steps": TESTED_STEPS,
            }
            try:
                losses: dict[str, dict[str, float]] = call_in_process(
                    "script_run.py:first_losses", task, seconds=TEST_SECONDS
                )
            except ProcessError as error:
                raise _failed("it ended with an error", cause_of(error)) from error
            return losses


class Notebook(Script):
    """The same as a Jupyter notebook."""

    format = "notebook"
    title = "Notebook"
    sentence = "Choose this to repeat the training step by step. A Jupyter notebook and your rows."
    library = "transformers-notebook"
    extra_files = frozenset((".ipynb", ".jsonl"))
    file = "train.ipynb"
    code_bytes = 29_000

    def text(self, cells: list[script_text.Cell]) -> str:
        """Return the notebook."""
        return script_text.as_notebook(cells)

    def snippet(self, run: RunRef, place: str) -> str:
        """Return the commands that open the notebook."""
        base = "" if run.info.hub_id else "BASE_MODEL=path/to/the/base/model "
        return (
            f"cd {shlex.quote(place)}\npip install -r requirements.txt notebook\n{base}jupyter notebook train.ipynb\n"
        )


def requirements(run: RunRef) -> str:
    """Return the libraries of the script, with the versions that trained the run on this machine."""
    more = ("scikit-learn", "scipy") if run.spec.config.task == "classification" else ("trl",)
    adapter = ("peft",) if (Path(run.folder) / "adapter").exists() else ()
    return "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in (*LIBRARIES, *adapter, *more))


def code_of_notebook(path: Path) -> str:
    """Return the code of a notebook as one script."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code") + "\n"


def _unsupported(run: RunRef) -> list[str]:
    """Return what a script can't repeat, as names of settings with their values."""
    spec, config, info = run.spec, run.spec.config, run.info
    by_value = (
        ("task", config.task, config.task not in TASKS),
        ("method", config.method, config.method not in METHODS),
        ("optimizer", config.optimizer, config.optimizer != "adamw"),
        ("precision", config.precision, config.precision not in TOLERANCE),
        ("LoRA+ ratio", config.loraplus_ratio, config.loraplus_ratio != 1),
        ("layer-wise learning-rate decay", config.layer_decay, config.layer_decay != 1),
        ("head-only training", config.head_first, config.head_first > 0),
        ("embedding noise", config.neftune_alpha, config.neftune_alpha > 0),
        ("frozen layers", config.frozen_layers, config.frozen_layers > 0 and config.method == "full"),
        ("processes", config.processes, config.processes > 1),
        ("start from run", config.start_from, bool(config.start_from)),
        ("time limit in minutes", config.max_minutes, config.max_minutes > 0),
    )
    names = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value, is_ in by_value if is_
    ]
    if config.task == "completion" and config.packing:
        names.append("packing")
    if spec.replay is not None:
        names.append("replay data")
    if info.quantized or run.quantized:
        names.append("a quantized base model")
    if info.needs_trust:
        names.append("a model with code of its own")
    if config.task == "classification" and variant_of(info, spec.data).trainer != "classification":
        names.append("this kind of model")
    folder = result_folder(run)
    if folder.name == "adapter" and config.method in METHODS and adapter_kind(folder) != "LORA":
        names.append("this kind of adapter")
    return names


def _facts(job: ExportJob) -> TrainingFacts:
    assert job.training is not None
    return job.training


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _encode_function(run: RunRef, rows: ScriptRows, stage: Path) -> Callable[[dict[str, Any]], Any]:
    """Return the script's function that encodes a row."""
    config, data = run.spec.config, run.spec.data
    scope: dict[str, Any] = {
        "HERE": stage,
        "tokenizer": rows.encoding.tokenizer,
        "MAX_LENGTH": config.max_length,
        "LABELS": list(data.label_names),
    }
    exec(script_text.part(config.task), scope)
    encode: Callable[[dict[str, Any]], Any] = scope["encode"]
    return encode


def _compared(losses: dict[str, dict[str, float]], facts: TrainingFacts, rows: int, precision: str) -> TestResult:
    """Return how the first losses of the script compare with those of the run."""
    recorded = {"training": facts.training_losses, "validation": facts.validation_losses}
    table = [("Loss", "Step", "Run", "Script")]
    for kind, values in losses.items():
        for step, loss in values.items():
            if (expected := recorded[kind].get(int(step))) is None:
                continue
            table.append((kind, step, f"{expected:.4f}", f"{loss:.4f}"))
            if abs(loss - expected) > TOLERANCE[precision] * max(abs(expected), 0.1):
                raise _failed(
                    f"its {kind} loss differs from that of the run at step {step}",
                    f"{loss:.4f} instead of {expected:.4f}",
                )
    if len(table) == 1:
        return TestResult(
            f"The script ran without the studio for one step. The tokens of {rows:,} rows are the same as in the run. "
            "The losses of the run are not saved, so they were not compared."
        )
    return TestResult(
        f"The script ran without the studio for one step. The tokens of {rows:,} rows and the first losses are the "
        "same as in the run.",
        tuple(table),
    )


def _failed(what: str, given: str) -> StudioError:
    return StudioError(
        "format-unavailable",
        f"The script failed its test: {what}. It was deleted.",
        given=given,
        hint="Please report this problem with the name of the base model.",
        field="format",
    )
