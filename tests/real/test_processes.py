"""One run by two processes: it learns what one process learns, and whoever is killed, nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from small_trainings import chat_job, label_job, losses, run, small_llama, tiny_bert, tiny_llama
from task_runs import asked_plainly, tiny_model, train_rows
from test_trained_preference import PAIRS, THUMBS
from test_trained_questions import ROLES
from test_trained_questions import ROWS as QUESTIONS
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
from worker_runs import add_run, log_of, record_of, start_worker, steps_of, wait_for

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.processes import identity, lives
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.events import AnyEvent, CheckpointEvent, EvaluationEvent, ReplyEvent
from studio.schema.models import ModelInfo
from studio.services.runs.run_files import resumable_step
from studio.store import Home
from studio.training.loop.loading import TrainingJob
from studio.training.loop.outcome import Outcome
from studio.training.planning.parallelism import SHARDABLE_OPTIMIZERS
from studio.worker import launcher

TOLERANCE = 2e-4
"""By which losses may differ: sums are made in another order."""
ALL = os.environ.get("STUDIO_MATRIX") == "all"
UNEVEN: dict[str, Any] = {"rows": 23, "held": 7, "epochs": 1, "eval_steps": 3}
"""Rows that two processes can't share out alike: 23 to learn from, 4 a step, and 7 in a check."""
LONG = {
    "precision": "float32",
    "learning_rate": 1e-2,
    "max_length": 96,
    "epochs": 100,
    "eval_steps": 6,
    "batch_size": 2,
    "early_stopping_patience": 0,
    "processes": 2,
}
NO_DEEPSPEED = pytest.mark.skipif(bool(why_no_deepspeed()), reason="no DeepSpeed")
ALIKE = pytest.param({}, id="data parallel")
ZERO_1, ZERO_2, ZERO_3 = (pytest.param({"zero": n}, id=f"ZeRO-{n}", marks=NO_DEEPSPEED) for n in (1, 2, 3))
FSDP = pytest.param({"fsdp": True}, id="FSDP")
"""Offered on GPUs alone; what it does is the same on a processor."""
WHOLE_BY_FSDP = pytest.param({"fsdp": True, "method": "full", "learning_rate": 1e-3}, id="FSDP, whole")


def by_two(job: TrainingJob) -> tuple[Outcome, list[AnyEvent]]:
    """Train by the processes that a worker would start."""
    said: list[AnyEvent] = []
    job.folder.mkdir(parents=True, exist_ok=True)
    return launcher.train(job, said.append, lambda: None), said


def checks(said: list[AnyEvent]) -> list[EvaluationEvent]:
    return [each for each in said if isinstance(each, EvaluationEvent)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def alone(llama: ModelInfo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[AnyEvent]]:
    """One process that reads four rows at once."""
    folder = tmp_path_factory.mktemp("alone")
    return run(chat_job(folder, llama, **UNEVEN, batch_size=4, test_prompts=("Where is it?",)))


@pytest.mark.parametrize("way", [ALIKE, ZERO_1, ZERO_2, ZERO_3, FSDP] if ALL else [ALIKE, FSDP])
def test_two_processes_learn_what_one_learns(
    way: dict[str, Any], llama: ModelInfo, alone: tuple[Outcome, list[AnyEvent]], tmp_path: Path
) -> None:
    expected, told = alone
    held = "cpu" if way.get("zero", 0) > 1 else "none"
    shared = {**UNEVEN, **way, "offload": held, "batch_size": 2, "processes": 2}
    job = chat_job(tmp_path, llama, **shared, test_prompts=("Where is it?",))
    outcome, said = by_two(job)
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE) and len(losses(said)) == 6
    assert [each.eval_loss for each in checks(said)] == pytest.approx(
        [each.eval_loss for each in checks(told)], abs=TOLERANCE
    )
    assert (outcome.kind, outcome.steps, outcome.best_step) == ("adapter", expected.steps, expected.best_step)
    assert outcome.path is not None and expected.path is not None
    ours, theirs = (load_file(each / "adapter_model.safetensors") for each in (outcome.path, expected.path))
    assert set(ours) == set(theirs)
    assert all((ours[name].float() - theirs[name].float()).abs().max() < 1e-3 for name in theirs)
    replies = [each.who for each in said if isinstance(each, ReplyEvent)]
    assert replies.count("base") == 1 and replies[-1] == "tuned"
    names = [each.name for each in said if isinstance(each, CheckpointEvent)]
    assert names[-1] == "checkpoint-6" and all(each.bytes for each in said if isinstance(each, CheckpointEvent))
    assert (tmp_path / "rank-0.log").exists() and (tmp_path / "rank-1.log").exists()


@pytest.mark.parametrize("balanced", [False, True] if ALL else [False])
@pytest.mark.parametrize("way", [ZERO_2, ZERO_3, FSDP] if ALL else [ZERO_3])
def test_a_whole_classifiers_loss_scores_and_weights_are_those_of_one_process(
    way: dict[str, Any], balanced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # DeepSpeed compiles nothing
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    info = tiny_bert(tmp_path / "base")
    few: dict[str, Any] = {"rows": 47, "held": 11, "epochs": 1, "eval_steps": 3, "balance_labels": balanced}
    one, told = run(label_job(tmp_path / "one", info, **few, batch_size=4, gradient_accumulation=2))
    two, said = by_two(
        label_job(tmp_path / "two", info, **few, batch_size=2, gradient_accumulation=2, processes=2, **way)
    )
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE)
    for ours, theirs in zip(checks(said), checks(told), strict=True):
        assert ours.eval_loss == pytest.approx(theirs.eval_loss, abs=TOLERANCE)
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-6)
    assert two.best_step == one.best_step and two.kind == "model"
    ours, theirs = (AutoModelForSequenceClassification.from_pretrained(str(each.path)) for each in (two, one))
    for (name, mine), weight in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, weight, atol=1e-3, rtol=1e-2, msg=name)
    before = AutoModelForSequenceClassification.from_pretrained(str(info.path)).get_input_embeddings().weight
    assert (ours.get_input_embeddings().weight - before).abs().max() > 1e-3, "it has learned"


@pytest.mark.parametrize("way", [ALIKE, ZERO_3, FSDP] if ALL else [FSDP])
def test_answers_of_uneven_length_teach_a_whole_text_to_text_model_by_two_what_they_teach_by_one(
    way: dict[str, Any], tmp_path: Path
) -> None:
    info = tiny_model("t5", tmp_path / "base")
    rows = [{"article": f"The lamp {n} stands in the hall.", "summary": "It shines. " * (n % 4 + 1)} for n in range(24)]

    def job(folder: Path, **settings: Any) -> TrainingJob:
        usual = {"precision": "float32", "learning_rate": 5e-3, "max_length": 64, "epochs": 1, "eval_steps": 4}
        return TrainingJob(
            config=TrainingConfig(task="summarization", model=info.name, method="full", **usual, **settings),
            info=info,
            data=DatasetSpec(task="summarization", roles={"article": "text", "summary": "summary"}),
            train_rows=rows[:18],
            validation_rows=rows[-5:],
            folder=folder,
            threads=1,
        )

    one, told = run(job(tmp_path / "one", batch_size=4))
    two, said = by_two(job(tmp_path / "two", batch_size=2, processes=2, **way))
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE) and len(losses(said)) == 5
    for ours, theirs in zip(checks(said), checks(told), strict=True):
        assert ours.eval_loss == pytest.approx(theirs.eval_loss, abs=TOLERANCE)
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-6), "what it wrote was judged"
    ours, theirs = (AutoModelForSeq2SeqLM.from_pretrained(str(each.path)) for each in (two, one))
    torch.testing.assert_close(ours.shared.weight, theirs.shared.weight, atol=1e-3, rtol=1e-2)


@pytest.mark.matrix
@pytest.mark.parametrize("way", [ZERO_2, ZERO_3])
def test_a_whole_model_that_writes_learns_under_zero_as_by_one(way: dict[str, Any], tmp_path: Path) -> None:
    info = tiny_model("llama", tmp_path / "base")
    few = {**UNEVEN, "method": "full", "learning_rate": 1e-3}
    _, told = run(chat_job(tmp_path / "one", info, **few, batch_size=4))
    outcome, said = by_two(chat_job(tmp_path / "two", info, **few, batch_size=2, processes=2, **way))
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE)
    assert outcome.kind == "model"


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ("llama", {"method": "dora", "precision": "bfloat16"}),
        ("llama", {"method": "ia3", "precision": "bfloat16"}),
        ("llama", {"method": "prefix-tuning"}),
        ("llama", {"method": "prompt-tuning"}),
        ("llama", {"method": "lora-embeddings"}),
        ("llama", {"method": "last-layers"}),
        ("llama", {"method": "lora", "gradient_checkpointing": True, "gradient_accumulation": 2}),
        ("llama", {"method": "full", "precision": "bfloat16", "gradient_checkpointing": True, "learning_rate": 1e-3}),
        ("llama", {"method": "lora", "optimizer": "adafactor"}),
        *(
            ("llama", {"method": "full", "optimizer": optimizer, "learning_rate": 1e-3})
            for optimizer in SHARDABLE_OPTIMIZERS
        ),
        ("gpt2", {"method": "full", "learning_rate": 1e-3}),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(map(str, each.values())),
)
def test_what_fsdp_shares_out_is_learned_as_by_one(shape: str, settings: dict[str, Any], tmp_path: Path) -> None:
    info = tiny_model(shape, tmp_path / "base")
    one, told = run(chat_job(tmp_path / "one", info, **{**UNEVEN, **settings}, batch_size=4))
    two, said = by_two(chat_job(tmp_path / "two", info, **{**UNEVEN, **settings}, batch_size=2, processes=2, fsdp=True))
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE)
    name = "model.safetensors" if one.kind == "model" else "adapter_model.safetensors"
    assert one.path is not None and two.path is not None
    ours, theirs = load_file(two.path / name), load_file(one.path / name)
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}
    apart = 2e-2 if settings.get("precision") == "bfloat16" else 1e-3
    assert all((ours[n].float() - theirs[n].float()).abs().max() < apart for n in theirs)


def question_job(folder: Path, info: ModelInfo, **settings: Any) -> TrainingJob:
    """A run that learns to point by an adapter."""
    usual = {"precision": "float32", "learning_rate": 5e-3, "max_length": 64, "epochs": 1, "eval_steps": 2}
    return TrainingJob(
        config=TrainingConfig(task="question-answering", model=info.name, **{**usual, **settings}),
        info=info,
        data=DatasetSpec(task="question-answering", roles=ROLES),
        train_rows=QUESTIONS[:18],
        validation_rows=QUESTIONS[-7:],
        folder=folder,
        threads=1,
    )


@pytest.mark.matrix
@pytest.mark.parametrize("way", [ALIKE, ZERO_3, FSDP])
def test_an_adapter_learns_to_point_by_two_as_by_one(way: dict[str, Any], tmp_path: Path) -> None:
    info = tiny_model("bert", tmp_path / "base")
    _, told = run(question_job(tmp_path / "one", info, batch_size=4))
    outcome, said = by_two(question_job(tmp_path / "two", info, batch_size=2, processes=2, **way))
    assert losses(said) == pytest.approx(losses(told), abs=TOLERANCE) and len(losses(said)) == 5
    for ours, theirs in zip(checks(said), checks(told), strict=True):
        assert ours.eval_loss == pytest.approx(theirs.eval_loss, abs=TOLERANCE)
        assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-6)
    assert outcome.kind == "adapter"


@pytest.mark.matrix
@pytest.mark.parametrize("way", [ZERO_3, FSDP])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_pairs_are_learned_by_two_and_the_result_loads_without_deepspeed(
    method: str, way: dict[str, Any], tmp_path: Path
) -> None:
    info = tiny_model("llama", tmp_path / "model")
    made = train_rows(
        tmp_path,
        PAIRS,
        info,
        "preference",
        epochs=3,
        learning_rate=1e-3,
        batch_size=2,
        processes=2,
        method=method,
        **way,
    )
    assert made.learned() and made.checks[-1].metrics["reward_accuracy"] >= 0.5
    code = (
        "found = tokenizer(asked, return_tensors='pt')\nanswer = model(**found).logits[0, -1, :50].tolist()\n"
        "assert 'deepspeed' not in sys.modules"
    )
    tuned = asked_plainly(made, "AutoModelForCausalLM", "Where is my lamp?", code)
    base = asked_plainly(made, "AutoModelForCausalLM", "Where is my lamp?", code, base=True)
    assert max(abs(one - other) for one, other in zip(tuned, base, strict=True)) > 1e-4


@pytest.mark.matrix
@pytest.mark.parametrize("way", [ALIKE, FSDP])
def test_thumbs_are_learned_by_two_as_by_one(way: dict[str, Any], tmp_path: Path) -> None:
    info = tiny_model("llama", tmp_path / "model")
    few: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-3}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = train_rows(tmp_path / "one", THUMBS[:35], info, "feedback", **few, batch_size=4)
    two = train_rows(tmp_path / "two", THUMBS[:35], info, "feedback", **few, **way, batch_size=2, processes=2)
    assert two.losses == pytest.approx(one.losses, abs=TOLERANCE)
    assert [each.eval_loss for each in two.checks] == pytest.approx([each.eval_loss for each in one.checks], abs=1e-3)


@pytest.mark.matrix
@NO_DEEPSPEED
def test_a_base_in_four_bits_is_shared_out_too(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    few: dict[str, Any] = {"rows": 16, "held": 0, "epochs": 1, "method": "qlora", "precision": "bfloat16"}
    _, told = run(chat_job(tmp_path / "one", info, **few, batch_size=4))
    outcome, said = by_two(chat_job(tmp_path / "two", info, **few, batch_size=2, processes=2, zero=3))
    assert losses(said) == pytest.approx(losses(told), abs=0.01), "in bfloat16"
    assert outcome.kind == "adapter" and outcome.path is not None


# --- stop, kill, go on ---


class Family:
    """A worker with all that it started."""

    def __init__(self, home: Home, run_: str, fresh: bool = False) -> None:
        self.worker = start_worker(home, run_, fresh)  # if it is forked, so are the others, by one that is not killed
        wait_for(lambda: len(steps_of(home, run_)) >= 8 or self.worker.poll() is not None)
        assert self.worker.poll() is None, log_of(home, run_)
        lines = {each.pid: " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
        mine = {pid: line for pid, line in lines.items() if run_ in line}
        self.torchrun = next(pid for pid, line in mine.items() if "studio.worker.torchrun" in line)
        self.ranks = [pid for pid, line in mine.items() if "studio.worker.rank" in line]
        self.known = {pid: identity(pid) for pid in (self.torchrun, *self.ranks)}
        assert len(self.ranks) == 2

    def gone(self) -> bool:
        """Nobody is left behind."""
        return not any(lives(pid, known) for pid, known in self.known.items())


@pytest.mark.parametrize("way", [ZERO_2, ZERO_3, FSDP, WHOLE_BY_FSDP] if ALL else [ZERO_2, WHOLE_BY_FSDP])
def test_a_killed_worker_takes_all_with_it_and_the_run_goes_on_across_processes(
    way: dict[str, Any], home: Home, data: DatasetRecord, llama: ModelInfo
) -> None:
    run_ = add_run(home, data, str(llama.path), **{**LONG, "epochs": 3, "lora_dropout": 0.1, **way})
    fresh = ALL and bool(way.get("fsdp"))  # kinship and memory are those of processes that are not forked
    family = Family(home, run_, fresh)
    if fresh:
        assert os.getpgid(family.torchrun) == family.worker.pid, "a signal to the worker's group reaches it, too"
        memory = steps_of(home, run_)[-1].memory_bytes
        assert memory > 2 * 400e6, "of the worker and all its processes"
    os.kill(family.worker.pid, signal.SIGKILL)
    family.worker.wait(10)
    wait_for(family.gone, 20)
    runs = home.workspace().runs
    assert [lost.id for lost in runs.reconcile(resumable_step)] == [run_]
    assert "Resume continues from there" in record_of(home, run_).reason
    before = {event.step: event.loss for event in steps_of(home, run_)}
    runs.set_status(run_, "queued")
    home.queue.enqueue("default", run_)
    assert start_worker(home, run_).wait(200) == 0, log_of(home, run_)
    assert record_of(home, run_).status == "finished"
    after = steps_of(home, run_)[len(before) :]
    assert after[0].step % 6 == 1 and after[0].step > 1, "from the last checkpoint, not from the start"
    again = [event for event in after if event.step in before]
    assert [event.loss for event in again] == pytest.approx([before[event.step] for event in again], abs=TOLERANCE)
    assert after[-1].step == record_of(home, run_).steps
    folder = home.workspace().runs.folder(run_)
    assert folder.result is not None and not list(folder.checkpoints.rglob("global_step*"))


@pytest.mark.parametrize("who", ["torchrun", "a process"] if ALL else ["a process"])
def test_a_kill_of_torchrun_or_of_a_process_ends_the_run_in_plain_words(
    who: str, home: Home, data: DatasetRecord, llama: ModelInfo
) -> None:
    run_ = add_run(home, data, str(llama.path), **LONG)
    family = Family(home, run_)
    os.kill(family.torchrun if who == "torchrun" else family.ranks[1], signal.SIGKILL)
    assert family.worker.wait(40) == 1
    wait_for(family.gone, 10)
    record = record_of(home, run_)
    assert record.status == "failed" and "Resume continues from the last checkpoint" in record.reason
    assert "One of the training processes was killed" in record.reason
    assert home.queue.entries() == []
    assert list(home.workspace().runs.folder(run_).checkpoints.glob("checkpoint-*/complete.json"))


HOG = "import sys, time; sys.stdin.readline(); block = bytearray(500 << 20); time.sleep(3)"


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of processes whose memory can be narrowed, where a test may make one."""
    made = Path(f"/sys/fs/cgroup/memory/studio-test-{os.getpid()}")
    try:
        made.mkdir()
    except OSError:
        pytest.skip("no group of processes with a limit of memory can be made here")
    yield made
    wait_for(lambda: not (made / "cgroup.procs").read_text().split(), 20)
    made.rmdir()


@pytest.mark.matrix
def test_a_process_that_the_system_ends_for_want_of_memory_has_the_run_tried_at_half_the_batch(
    group: Path, home: Home, data: DatasetRecord, llama: ModelInfo
) -> None:
    run_ = add_run(home, data, str(llama.path), **LONG)
    family = Family(home, run_)
    hog = subprocess.Popen([sys.executable, "-c", HOG], stdin=subprocess.PIPE)
    for pid in (family.worker.pid, family.torchrun, *family.ranks, hog.pid):
        (group / "cgroup.procs").write_text(str(pid))
    for pid in family.ranks:
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")  # so that a process that trains is the one to go
    (group / "memory.limit_in_bytes").write_text(str(400 << 20))
    hog.communicate(b"\n")
    (group / "memory.limit_in_bytes").write_text("-1")
    wait_for(lambda: home.workspace().runs.spec(run_).tried_again or family.worker.poll() is not None, 40)
    config = home.workspace().runs.spec(run_).config
    assert (config.batch_size, config.gradient_accumulation, config.processes) == (1, 2, 2), log_of(home, run_)
    wait_for(family.gone, 10)
    home.workspace().runs.request_stop(run_, "discard")
    assert family.worker.wait(90) == 0


def test_sigterm_to_all_of_them_keeps_what_was_learned(home: Home, data: DatasetRecord, llama: ModelInfo) -> None:
    run_ = add_run(home, data, str(llama.path), **LONG)
    family = Family(home, run_)
    for pid in (family.worker.pid, family.torchrun):  # its group: those of torchrun have sessions of their own
        os.kill(pid, signal.SIGTERM)
    assert family.worker.wait(40) == 0, log_of(home, run_)
    wait_for(family.gone, 10)
    record = record_of(home, run_)
    assert (record.status, record.has_result) == ("stopped", True) and "is the result" in record.reason


@pytest.mark.matrix
@pytest.mark.parametrize("way", [ZERO_3, FSDP])
def test_a_wish_to_discard_is_heard_by_all_at_once(
    way: dict[str, Any], home: Home, data: DatasetRecord, llama: ModelInfo
) -> None:
    run_ = add_run(home, data, str(llama.path), **LONG, **way)
    family = Family(home, run_)
    home.workspace().runs.request_stop(run_, "discard")
    assert family.worker.wait(40) == 0, log_of(home, run_)
    wait_for(family.gone, 10)
    record = record_of(home, run_)
    assert (record.status, record.has_result) == ("stopped", False)


def test_what_fails_in_a_process_is_told_as_it_would_be_in_the_worker(
    home: Home, data: DatasetRecord, llama: ModelInfo
) -> None:
    told = "You are a kind helper in a shop. " * 8
    run_ = add_run(home, data, str(llama.path), **{**LONG, "max_length": 16, "system_prompt": told})
    assert start_worker(home, run_).wait(90) == 1
    record = record_of(home, run_)
    assert record.status == "failed" and record.reason.startswith("No training row is left")


def test_a_build_that_was_killed_long_ago_is_forgotten_and_a_fresh_one_is_waited_for(tmp_path: Path) -> None:
    for name, age in (("old", 3600), ("fresh", 5)):
        mark = tmp_path / "py" / name / "lock"
        mark.parent.mkdir(parents=True)
        mark.touch()
        os.utime(mark, (time.time() - age,) * 2)
    launcher.forget_stale_builds(tmp_path)
    assert [path.name for path in (tmp_path / "py").iterdir()] == ["fresh"]
