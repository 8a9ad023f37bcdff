"""A script and a notebook repeat a run without the studio: the same tokens, the same order of rows, the same losses."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from made_runs import rows_file, starter
from small_trainings import chat_job, label_job, losses, run, tiny_bert, tiny_llama
from test_export_settings import REFUSES_SYSTEM

from studio.api import Studio
from studio.export.base import ExportJob
from studio.export.script import Notebook, Script, code_of_notebook
from studio.export.script_text import literal, part
from studio.inference.model_cache import ModelCache
from studio.machine.environment import child_environment
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent, ReadEvent
from studio.schema.host import CardFacts, RunRef, TrainingFacts
from studio.schema.requests import RunRequest
from studio.schema.runs import RunSpec
from studio.training.batching.sampler import row_order
from studio.training.loop.run import TrainingJob

FACTS = CardFacts(run="r", name='the "tone" of\nus')


def trained(job: TrainingJob, root: Path) -> ExportJob:
    """Train a run, and what its export needs."""
    _, said = run(job)
    checks = {event.step: event.eval_loss for event in said if isinstance(event, EvaluationEvent)}
    steps = dict(enumerate(losses(said), start=1))
    splits = {
        "train": rows_file(job.train_rows, root / "train.parquet"),
        "validation": rows_file(job.validation_rows, root / "validation.parquet"),
    }
    spec = RunSpec(config=job.config, dataset="data-1", dataset_version=1, data=job.data, splits=SplitSpec())
    facts = TrainingFacts(
        splits=splits,
        training_losses=steps,
        validation_losses=checks,
        padded=next(event.padded for event in said if isinstance(event, ReadEvent)),
        steps=len(steps),
    )
    ref = RunRef(info=job.info, spec=spec, folder=str(job.folder), learned_from=splits["train"])
    return ExportJob(ref, FACTS, ModelCache(), zip=False, training=facts)


def repeated(folder: Path, base: str, script: str = "train.py") -> dict[str, dict[int, float]]:
    """Run the script as another person does: in a process that knows the folder and the base model."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.run_file", script],
        cwd=folder,
        env={**child_environment(visitors=True), "BASE_MODEL": base},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the largest difference from the run is" in done.stdout
    found = json.loads((folder / "output" / "losses.json").read_text())
    return {kind: {int(step): loss for step, loss in values.items()} for kind, values in found.items()}


def silent(*_: Any) -> None: ...


ACCUMULATED: dict[str, Any] = {
    "held": 2,
    "max_length": 64,
    "batch_size": 2,
    "epochs": 1,
    "gradient_accumulation": 2,
    "eval_steps": 1,
}
JOBS = {
    "chat": lambda root: chat_job(root / "run", tiny_llama(root / "tiny"), rows=9, **ACCUMULATED),
    "chat of the starter": lambda root: chat_job(
        root / "run", starter("starter-chat"), rows=5, learning_rate=3e-4, **ACCUMULATED
    ),
    "dora": lambda root: chat_job(root / "run", tiny_llama(root / "tiny"), rows=12, held=4, method="dora", epochs=1),
    "labels of the starter": lambda root: label_job(
        root / "run",
        starter("starter-classify"),
        rows=32,
        epochs=1,
        learning_rate=2e-4,
        eval_steps=2,
        balance_labels=True,
        label_smoothing=0.1,
    ),
}


@pytest.mark.parametrize(
    "kind", ["chat", pytest.param("chat of the starter", marks=pytest.mark.matrix), "labels of the starter"]
)
def test_the_script_gets_the_losses_of_the_run(kind: str, tmp_path: Path) -> None:
    job = JOBS[kind](tmp_path)
    export = trained(job, tmp_path)
    done = Script().export(export, tmp_path / "script", silent)
    assert "the first losses are the same as in the run" in done.tested
    found = repeated(tmp_path / "script", str(job.info.path))
    assert export.training is not None
    assert found["training"] == pytest.approx(export.training.training_losses, abs=2e-3)
    assert found["validation"] == pytest.approx(export.training.validation_losses, abs=2e-3)
    assert list((tmp_path / "script" / "output" / "model").glob("*.safetensors"))


@pytest.mark.parametrize(
    "kind", ["dora", *(pytest.param(f"{each} of the starter", marks=pytest.mark.matrix) for each in ("chat", "labels"))]
)
def test_the_notebook_is_valid_and_its_cells_get_the_losses_of_the_run(kind: str, tmp_path: Path) -> None:
    job = JOBS[kind](tmp_path)
    export = trained(job, tmp_path)
    Notebook().export(export, tmp_path / "notebook", silent)
    file = tmp_path / "notebook" / "train.ipynb"
    nbformat.validate(nbformat.read(file, as_version=4))
    (tmp_path / "notebook" / "cells.py").write_text(code_of_notebook(file), encoding="utf-8")
    found = repeated(tmp_path / "notebook", str(job.info.path), "cells.py")
    assert export.training is not None
    assert found["training"] == pytest.approx(export.training.training_losses, abs=2e-3)


def test_rows_with_any_line_separator_and_a_template_without_a_system_role_are_repeated(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "tiny")
    file = tmp_path / "tiny" / "chat_template.jinja"
    file.write_text(REFUSES_SYSTEM + file.read_text())
    job = chat_job(tmp_path / "run", info, rows=8, held=2, max_steps=1, system_prompt="Be brief.")
    job.train_rows[0]["question"] += "\u2028And\x85then\u2029what?"
    done = Script().export(trained(job, tmp_path), tmp_path / "script", silent)
    assert "The tokens of 10 rows and the first losses are the same as in the run" in done.tested


def test_an_export_has_the_rows_and_versions_and_nothing_of_this_machine(tmp_path: Path) -> None:
    job = label_job(tmp_path / "run", tiny_bert(tmp_path / "tiny"), rows=24, epochs=1)
    Script().export(trained(job, tmp_path), tmp_path / "script", silent)
    folder = tmp_path / "script"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    data = {f"data/{split}.jsonl" for split in ("train", "validation", "test")}
    assert files == {"README.md", "requirements.txt", "run-losses.json", "train.py"} | data
    lines = (folder / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 24 and set(json.loads(lines[0])) == {"text", "label"}
    assert "transformers==" in (folder / "requirements.txt").read_text()
    script = (folder / "train.py").read_text(encoding="utf-8")
    assert "import studio" not in script and "from studio" not in script
    for file in files:
        assert str(tmp_path) not in (folder / file).read_text(encoding="utf-8"), file
    front = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["tags"] == ["finetune-studio"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F",
            "--line-length",
            "120",
            script_file(folder),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def script_file(folder: Path) -> str:
    """The path of the script in an export."""
    return str(folder / "train.py")


REFUSED = {
    "optimizer lion": {"optimizer": "lion"},
    "LoRA+ ratio 16": {"loraplus_ratio": 16.0},
    "embedding noise 5": {"neftune_alpha": 5.0},
    "start from run earlier": {"start_from": "earlier"},
    "method ia3": {"method": "ia3"},
    "processes 2": {"processes": 2},
}


def test_what_a_script_cant_repeat_is_refused_by_name(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "tiny"), rows=8, held=2, max_steps=1)
    export = trained(job, tmp_path)
    assert Script().unavailable_reason(export.run) == ""
    for name, settings in REFUSED.items():
        spec = export.run.spec.model_copy(update={"config": job.config.model_copy(update=settings)})
        reason = Script().unavailable_reason(export.run.model_copy(update={"spec": spec}))
        assert name in reason and "can't repeat" in reason, (name, reason)
    without_rows = export.run.model_copy(update={"learned_from": None})
    assert "rows of this run are not on this machine" in Script().unavailable_reason(without_rows)


def test_a_script_with_other_losses_or_tokens_is_not_offered(tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "tiny"), rows=8, held=2, max_steps=1)
    export = trained(job, tmp_path)
    assert export.training is not None
    wrong = {step: loss + 0.5 for step, loss in export.training.training_losses.items()}
    export.training = export.training.model_copy(update={"training_losses": wrong})
    with pytest.raises(StudioError, match="training loss differs from that of the run at step 1"):
        Script().export(export, tmp_path / "script", silent)
    assert not (tmp_path / "script").exists()


def test_the_order_of_rows_is_that_of_the_trainer() -> None:
    scope: dict[str, Any] = {"random": random, "Sampler": object}
    exec(part("order"), scope)
    rng = random.Random(1)
    for _ in range(200):
        lengths = [rng.randrange(1, 200) for _ in range(rng.randrange(1, 400))]
        values = (lengths, rng.randrange(1, 9), rng.randrange(100), rng.randrange(4), rng.random() < 0.5)
        assert scope["row_order"](*values) == row_order(*values)


def test_settings_are_written_as_python_that_means_the_same() -> None:
    values = {"a": 'say "hi"\n', "b": [0.5] * 60, "c": {"d": None, "e": True}, "f": [], "g": "Zwölf \\ 🦉"}
    assert eval(literal(values)) == values


def test_a_run_of_the_studio_is_exported_with_its_rows_and_losses(tmp_path: Path) -> None:
    model = str(tiny_llama(tmp_path / "tiny").path)
    rows = "".join(f'"  Question {n}? ",Answer {n}.\n' for n in range(14))
    with Studio(tmp_path / "home") as studio:
        dataset = studio.datasets.add_text(f"prompt,reply\n{rows}", "faq.csv").id
        held = studio.datasets.add_text("prompt,reply\n" + "Is it open?,Yes.\n" * 8, "held.csv").id
        settings = {"max_steps": 2, "precision": "float32", "eval_rows": 4}
        request = RunRequest(dataset=dataset, model=model, settings=settings, validation=held, name="faq")
        started = studio.runs.start(request)
        for _ in studio.runs.watch(started.id):
            pass
        views = {view.format: view for view in studio.exports.all(started.id)}
        assert not views["script"].unavailable_reason and not views["notebook"].unavailable_reason
        done = studio.exports.create(started.id, "script", tmp_path / "script")
    assert "the first losses are the same as in the run" in done.tested
    assert ("training", "1") in [line[:2] for line in done.comparison]
    first, *_ = (tmp_path / "script" / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["messages"][0]["content"].startswith("Question")
    assert len((tmp_path / "script" / "data" / "validation.jsonl").read_text().splitlines()) == 8
