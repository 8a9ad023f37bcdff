"""Adapters added up by PEFT's ways: each counts by its weight, and the run that is made is what it says it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import chat_job, small_llama
from worker_runs import add_run, add_sample

from studio.api import Studio
from studio.inference.heads import head_of
from studio.inference.load import load_base
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.training.adapter_merge import combine
from studio.training.loop.loading import TrainingJob, prepare_model
from studio.training.methods import method_named

LAYER = "model.layers.1.self_attn.v_proj"
WEIGHTS = (0.25, 0.75)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return small_llama(tmp_path_factory.mktemp("small"))


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def data(studio: Studio) -> DatasetRecord:
    return add_sample(studio.home, "support-tone", 20)


def learned(job: TrainingJob, seed: int) -> torch.Tensor:
    """Leave an adapter with random weights behind, as if it had learned; what it adds to one layer."""
    model = prepare_model(job, method_named(job.config.method), head_of(job.info, job.data))
    drawn = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            noise = torch.randn(weight.shape, generator=drawn) * 0.1
            weight.data = 1 + noise if "ia3" in name else noise
    model.save_pretrained(str(job.folder / "adapter"))
    return added(model)


def added(model: Any) -> torch.Tensor:
    """What the adapter in use adds to one layer's weights, or the factors by which it is multiplied."""
    layer = model.get_submodule(f"base_model.model.{LAYER}")
    name = model.active_adapters[0]
    found = layer.ia3_l[name] if hasattr(layer, "ia3_l") else layer.get_delta_weight(name)
    return found.detach().float()  # type: ignore[no-any-return]


def beside_base(base: ModelInfo, folder: Path) -> torch.Tensor:
    """As plain peft loads it."""
    from peft import PeftModel

    job = chat_job(folder, base)
    return added(PeftModel.from_pretrained(load_base(base, "float32", head_of(job.info, job.data)), str(folder)))


def two(base: ModelInfo, folder: Path, **settings: Any) -> list[torch.Tensor]:
    return [learned(chat_job(folder / f"{n}", base, **settings), n) for n in (1, 2)]


@pytest.mark.parametrize(
    ("method", "how", "rank"),
    [
        ("lora", "cat", 16),
        ("rslora", "cat", 16),
        ("rslora", "svd", 8),
        ("lora", "linear", 8),
        ("rslora", "linear", 8),
        ("lora", "ties", 8),
        ("lora", "dare_linear", 8),
        ("ia3", "cat", 0),
    ],
)
def test_each_way_adds_what_it_says(method: str, how: str, rank: int, base: ModelInfo, tmp_path: Path) -> None:
    changes = two(base, tmp_path, method=method)
    job = chat_job(tmp_path, base, method=method)
    model = load_base(base, "float32", head_of(base, job.data))
    adapters = {tmp_path / f"{n}" / "adapter": weight for n, weight in zip((1, 2), WEIGHTS, strict=True)}
    combine(model, base, adapters, how, tmp_path / "made")
    made = beside_base(base, tmp_path / "made")
    exactly = sum(weight * change for weight, change in zip(WEIGHTS, changes, strict=True))
    assert isinstance(exactly, torch.Tensor)
    if how == "cat":
        torch.testing.assert_close(made, exactly, atol=1e-5, rtol=1e-3)
    elif how == "svd":  # the nearest of that rank
        left, sizes, right = torch.linalg.svd(exactly)
        nearest = left[:, :rank] @ torch.diag(sizes[:rank]) @ right[:rank]
        torch.testing.assert_close(made, nearest, atol=1e-3, rtol=1e-2)
    else:
        alike = torch.nn.functional.cosine_similarity(made.flatten(), exactly.flatten(), dim=0)
        longer = made.norm() / exactly.norm()
        assert alike > 0.2 and 0.2 < longer < 5, (float(alike), float(longer))
    if method != "ia3":
        assert torch.linalg.matrix_rank(made, atol=1e-4) <= rank


def ended(studio: Studio, data: DatasetRecord, base: ModelInfo, seed: int, **settings: Any) -> str:
    """A run that has left an adapter."""
    run = add_run(studio.home, data, str(base.path), precision="float32", **settings)
    studio.home.queue.remove(run)
    folder = studio.context.workspace.runs.folder(run).root
    learned(chat_job(folder, base, **settings), seed)
    studio.context.workspace.runs.set_status(run, "finished", has_result=True)
    return run


def spec_of(studio: Studio, run: str) -> RunSpec:
    return studio.context.workspace.runs.spec(run)


def test_a_run_goes_on_from_combined_adapters_with_the_strength_that_they_have(
    studio: Studio, data: DatasetRecord, base: ModelInfo
) -> None:
    runs = [
        ended(studio, data, base, 1, method="rslora", lora_rank=4, lora_targets="attention"),
        ended(studio, data, base, 2, method="lora", lora_rank=8),
    ]
    made = studio.runs.combine(dict(zip(runs, WEIGHTS, strict=True)))
    assert studio.runs.combine(dict(zip(runs, WEIGHTS, strict=True))).name == f"{made.name} 2"
    config, folder = spec_of(studio, made.id).config, studio.context.workspace.runs.folder(made.id)
    assert (config.method, config.lora_rank, config.lora_alpha) == ("lora", 12, 12)
    assert config.lora_targets == "all-linear"
    job = chat_job(folder.root, base, **{name: getattr(config, name) for name in ("method", "lora_rank", "lora_alpha")})
    goes_on = prepare_model(
        TrainingJob(**{**vars(job), "start_weights": folder.adapter}), method_named("lora"), head_of(job.info, job.data)
    )
    torch.testing.assert_close(added(goes_on), beside_base(base, folder.adapter), atol=1e-5, rtol=1e-3)


def test_what_can_t_be_added_is_refused_with_its_reason(studio: Studio, data: DatasetRecord, base: ModelInfo) -> None:
    dora = [ended(studio, data, base, seed, method="dora") for seed in (1, 2)]
    with pytest.raises(StudioError, match="also trained weight magnitudes, which can't be combined") as refused:
        studio.runs.combine(dict(zip(dora, WEIGHTS, strict=True)))
    assert len(list(refused.value.all())) == 2
    factors = [ended(studio, data, base, seed, method="ia3") for seed in (1, 2)]
    with pytest.raises(StudioError, match="must add up to 1"):
        studio.runs.combine(dict.fromkeys(factors, 1.0))
