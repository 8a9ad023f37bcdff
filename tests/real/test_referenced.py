"""What pairs and scores begin with: an earlier run's result is what holds a run back, and what a head goes on from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import chat_job, label_job, losses, run, tiny_bert, tiny_llama

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.models import ModelInfo
from studio.training.loop.run import TrainingJob, build_run
from studio.training.trainers.classification import LabelTrainer

PAIRS = [
    {"q": f"Where is my {thing}?", "yes": f"Your {thing} is here.", "no": "Go away."}
    for thing in ("lamp", "rug", "vase", "desk")
]


def pair_job(folder: Path, info: ModelInfo, start_weights: Path | None = None, **settings: Any) -> TrainingJob:
    usual = {"precision": "float32", "max_length": 64, "epochs": 1, "learning_rate": 1e-3, "warmup_share": 0.0}
    return TrainingJob(
        config=TrainingConfig(task="preference", model=info.name, **{**usual, **settings}),
        info=info,
        data=DatasetSpec(task="preference", roles={"q": "prompt", "yes": "chosen", "no": "rejected"}),
        train_rows=PAIRS,
        validation_rows=[],
        folder=folder,
        threads=1,
        start_weights=start_weights,
    )


def test_pairs_after_a_chat_are_held_back_by_what_the_chat_learned(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    chat, _ = run(chat_job(tmp_path / "chat", info, held=0, method="lora"))
    outcome, said = run(pair_job(tmp_path / "pairs", info, start_weights=chat.path))
    assert losses(said)[0] == pytest.approx(0.6931, abs=1e-4)  # nothing is preferred yet
    assert not (outcome.path / "ref").exists()


def test_what_the_base_says_is_remembered_without_the_noise_of_a_step(tmp_path: Path) -> None:
    trainer = build_run(pair_job(tmp_path, tiny_llama(tmp_path / "base"), neftune_alpha=50), lambda *_: None).trainer
    inputs = trainer.data_collator([trainer.train_dataset[n] for n in range(2)])
    trainer.model.eval()
    quiet = trainer.reference_log_probs(inputs)
    trainer._reference = {}
    trainer.model.train()
    learning = trainer.reference_log_probs(inputs)
    assert trainer.model.training
    for name, value in quiet.items():
        torch.testing.assert_close(learning[name], value)


def score_job(folder: Path, info: ModelInfo, score: float, **settings: Any) -> TrainingJob:
    rows = [{"text": f"row {n}", "score": score} for n in range(8)]
    return TrainingJob(
        config=TrainingConfig(
            task="classification",
            model=info.name,
            precision="float32",
            epochs=1,
            max_length=32,
            method="full",
            batch_size=8,
            **settings,
        ),
        info=info,
        data=DatasetSpec(task="classification", roles={"text": "text", "score": "score"}),
        train_rows=rows,
        validation_rows=[],
        folder=folder,
        threads=1,
    )


def test_a_head_that_has_learned_scores_goes_on_from_where_it_was(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    first, _ = run(score_job(tmp_path / "first", info, 3.0))
    job = replace(score_job(tmp_path / "next", info, 8.0), start_weights=first.path)
    head = build_run(job, lambda *_: None).trainer.model.classifier
    assert float(head.bias.detach()) == pytest.approx(3.0, abs=0.1)


def test_validation_loss_of_balanced_labels_does_not_depend_on_the_size_of_batches(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    found = []
    for size in (1, 8):
        job = label_job(tmp_path / str(size), info, batch_size=size, balance_labels=True, rows=30, held=12)
        trainer: LabelTrainer = build_run(job, lambda *_: None).trainer
        trainer.model.load_state_dict(found[0][1] if found else trainer.model.state_dict())
        trainer.weights = torch.tensor([0.2, 1.0, 5.0])
        found.append((trainer.evaluate()["eval_loss"], trainer.model.state_dict()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
