"""A run that was killed goes on as if nothing had been: step by step the same losses."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from small_trainings import chat_job, label_job, losses, run, tiny_bert, tiny_llama

from studio.schema.events import EvaluationEvent, StepEvent
from studio.training.loop.checkpoints import Checkpoints
from tests.forked import ROOT

KILLED_AT = 11
LORA = {"lora_dropout": 0.1, "epochs": 3, "eval_steps": 4}
CASES: dict[str, dict[str, Any]] = {
    "LoRA with dropout, in its second pass": LORA,
    "LoRA in bfloat16": {**LORA, "precision": "bfloat16"},
    "LoRA, gradients added up over two goes": {**LORA, "batch_size": 2, "gradient_accumulation": 2},
    "all weights in bfloat16": {"epochs": 3, "eval_steps": 4, "method": "full", "precision": "bfloat16"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_with_the_losses_it_would_have_had(case: str, tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    whole, said = run(chat_job(tmp_path / "whole", info, **CASES[case]))
    killed(chat_job(tmp_path / "killed", info, **CASES[case]), tmp_path)
    goes_on(chat_job(tmp_path / "killed", info, **CASES[case]), said, whole.steps, tmp_path)


def test_a_killed_classifier_goes_on_too(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    whole, said = run(label_job(tmp_path / "whole", info, eval_steps=4))
    killed(label_job(tmp_path / "killed", info, eval_steps=4), tmp_path)
    goes_on(label_job(tmp_path / "killed", info, eval_steps=4), said, whole.steps, tmp_path)


def killed(job: Any, tmp_path: Path) -> None:
    """Train in another process that is killed in the middle."""
    import pickle

    (tmp_path / "job.pkl").write_bytes(pickle.dumps(job))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.killed_training", str(tmp_path / "job.pkl"), str(KILLED_AT)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def goes_on(job: Any, expected: list[Any], steps: int, tmp_path: Path) -> None:
    """The rest of the run equals the rest of the whole one, and so does the result."""
    safe = Checkpoints(job.folder / "checkpoints").resumable()[-1]
    outcome, said = run(job)
    wanted = {event.step: event for event in expected if isinstance(event, StepEvent)}
    got = [event for event in said if isinstance(event, StepEvent)]
    assert got[0].step == safe + 1 > 1 and got[-1].step == steps == outcome.steps
    assert losses(said) == pytest.approx([wanted[event.step].loss for event in got], abs=1e-5)
    assert [event.learning_rate for event in got] == [wanted[event.step].learning_rate for event in got]
    checks = {event.step: event.eval_loss for event in expected if isinstance(event, EvaluationEvent)}
    for event in said:
        if isinstance(event, EvaluationEvent):
            assert event.step > 0, "the check before the first step is not made again"
            assert event.eval_loss == pytest.approx(checks[event.step], abs=1e-5)
    assert outcome.path is not None
    name = "adapter_model.safetensors" if outcome.kind == "adapter" else "model.safetensors"
    ours, theirs = load_file(outcome.path / name), load_file(tmp_path / "whole" / outcome.kind / name)
    assert all((ours[each].float() - theirs[each].float()).abs().max() < 1e-5 for each in theirs)


def test_a_run_that_was_complete_takes_no_further_step(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    first, _ = run(chat_job(tmp_path / "run", info, epochs=1))
    second, said = run(chat_job(tmp_path / "run", info, epochs=1))
    assert losses(said) == []
    assert (second.steps, second.best_step, second.metrics) == (first.steps, first.best_step, first.metrics)
