"""A run goes on from an earlier run's adapter, and learns general rows besides its own; both through the worker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from made_runs import tiny_llama
from safetensors.torch import load_file
from small_trainings import small_llama
from worker_runs import add_sample, log_of, steps_of, wait_for

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.schema.requests import RunRequest
from studio.schema.runs import RunRecord

FEW = {"max_length": 64, "epochs": 4, "eval_rows": 4, "learning_rate": 1e-2, "precision": "float32"}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def done(studio: Studio, run: RunRecord) -> RunRecord:
    wait_for(lambda: studio.runs.get(run.id).status not in ("queued", "starting", "training"), studio=studio)
    found = studio.runs.get(run.id)
    assert found.status == "finished", log_of(studio.home, run.id)
    return found


def test_a_run_goes_on_from_an_earlier_adapter_and_none_of_another_base(studio: Studio, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    small_llama(tmp_path / "small")
    model, data = str(tmp_path / "tiny"), add_sample(studio.home, "support-tone", 60).id
    first = done(
        studio, studio.runs.start(RunRequest(dataset=data, model=model, task="chat", settings={**FEW, "lora_rank": 4}))
    )
    again = studio.runs.start(
        RunRequest(dataset=data, model=model, task="chat", settings={**FEW, "start_from": "last", "epochs": 1})
    )
    done(studio, again)
    before, after = steps_of(studio.home, first.id), steps_of(studio.home, again.id)
    assert after[0].loss < before[0].loss - 0.1 and after[0].loss < before[-1].loss + 0.5
    spec = studio.runs.spec(again.id)
    assert (spec.config.lora_rank, spec.config.start_from) == (4, first.id)
    assert (
        json.loads((studio.context.workspace.runs.folder(again.id).adapter / "adapter_config.json").read_text())["r"]
        == 4
    )
    with pytest.raises(StudioError) as refused:
        studio.runs.start(
            RunRequest(
                dataset=data,
                model=str(tmp_path / "small"),
                task="chat",
                method="ia3",
                settings={**FEW, "start_from": first.id, "lora_rank": 8},
            )
        )
    words = [each.what for each in refused.value.all()]
    assert len(words) == 3, "another base, another kind and another rank are told at once"
    assert "another base" in words[0] and "another kind" in words[1] and "another lora rank" in words[2]


def test_adapters_of_one_base_are_added_by_their_weights(studio: Studio, tmp_path: Path) -> None:
    small_llama(tmp_path / "small")
    model, data = str(tmp_path / "small"), studio.datasets.add_sample("support-tone").id
    settings = {**FEW, "epochs": 1, "max_steps": 6}
    runs = [
        done(
            studio,
            studio.runs.start(RunRequest(dataset=data, model=model, task="chat", settings={**settings, "seed": seed})),
        )
        for seed in (1, 2)
    ]
    folder = studio.context.workspace.runs.folder
    made = studio.runs.combine({runs[0].id: 0.25, runs[1].id: 0.75}, "cat", "both")
    assert (made.status, made.has_result, made.name) == ("finished", True, "both")
    assert "0.25 × " in made.reason

    def change(run: str) -> torch.Tensor:
        """What an adapter adds to one layer."""
        weights = load_file(folder(run).adapter / "adapter_model.safetensors")
        scale = 2.0 if run != made.id else 1.0
        name = "base_model.model.model.layers.1.mlp.down_proj"
        return scale * weights[f"{name}.lora_B.weight"] @ weights[f"{name}.lora_A.weight"]

    wanted = 0.25 * change(runs[0].id) + 0.75 * change(runs[1].id)
    torch.testing.assert_close(change(made.id), wanted, atol=1e-5, rtol=1e-3)
    asked = [{"role": "user", "content": "Where is my parcel?"}]
    said = list(studio.chat.stream(made.id, asked, ChatSettings(temperature=0.0, max_new_tokens=4)))
    assert {chunk.who for chunk in said if chunk.done} == {"base", "tuned"}
    before = len(studio.runs.all())
    with pytest.raises(StudioError) as refused:
        studio.runs.combine({runs[0].id: 0}, "sideways")
    assert {each.field for each in refused.value.all()} == {"runs", "how", "weight"}
    assert len(studio.runs.all()) == before


def test_general_rows_are_mixed_in_by_their_share(studio: Studio, tmp_path: Path) -> None:
    tiny_llama(tmp_path / "tiny")
    model, data = str(tmp_path / "tiny"), studio.datasets.add_sample("support-tone").id
    settings = {**FEW, "max_steps": 3, "replay": 0.2, "replay_from": "sample:call-notes"}
    plain = studio.planning.plan(RunRequest(dataset=data, model=model, task="chat", settings=FEW))
    mixed = studio.planning.plan(
        RunRequest(dataset=data, model=model, task="chat", settings={**settings, "max_steps": 0})
    )
    assert mixed.estimate.steps == pytest.approx(plain.estimate.steps / 0.8, rel=0.1)
    run = done(studio, studio.runs.start(RunRequest(dataset=data, model=model, task="chat", settings=settings)))
    folder = studio.context.workspace.runs.folder(run.id)
    told = json.loads(folder.splits.read_text())
    assert told["replay"]["rows"] == round(len(told["train"]) * 0.25)
    with pytest.raises(StudioError, match="Replay needs a dataset"):
        studio.planning.plan(RunRequest(dataset=data, model=model, task="chat", settings={"replay": 0.2}))
    sorts = studio.datasets.add_sample("review-mood").id
    with pytest.raises(StudioError, match="other labels"):
        studio.planning.plan(
            RunRequest(
                dataset=sorts,
                model="starter-classify",
                settings={"replay": 0.2, "replay_from": "sample:intent-routing"},
            )
        )
